// Loops that only wait, and those that look like them: machine code of this very program, which is
// never run. Each has a label where a thread is said to be.
#include "detector/inspect/waiting_loops.hpp"

#include <dlfcn.h>
#include <time.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "detector/inspect/live_process.hpp"

#if defined(__x86_64__)

using namespace forkscope;

extern "C" {

void loop_worker();
}

// clang-format off
asm(R"(
  .data
  .globl loops_flag_word, loops_other_word
  loops_flag_word: .long 0
  loops_other_word: .long 0
  .text
  .macro begin name
  .globl loop_\name, loop_\name\()_at
  .type loop_\name, @function
  loop_\name:
  .cfi_startproc
  .endm
  .macro finish name
  ret
  .cfi_endproc
  .size loop_\name, . - loop_\name
  .endm

  begin worker
  movl $1, loops_flag_word(%rip)
  finish worker

  begin spin                      # while (!flag);
  loop_spin_at:
  1: movl loops_flag_word(%rip), %eax
  testl %eax, %eax
  je 1b
  finish spin

  begin other                     # the same on a word that the worker does not know
  loop_other_at:
  1: cmpl $0, loops_other_word(%rip)
  pause
  je 1b
  finish other

  begin both                      # on both
  1: cmpl $0, loops_other_word(%rip)
  jne 2f
  loop_both_at:
  cmpl $0, loops_flag_word(%rip)
  je 1b
  2: finish both

  begin pointer                   # while (!pool->done);
  loop_pointer_at:
  1: movzbl 8(%rdi), %eax
  testb %al, %al
  je 1b
  finish pointer

  begin nap                       # while (!flag) nanosleep(&nap, 0);
  subq $24, %rsp
  1: xorl %esi, %esi
  movq %rsp, %rdi
  call nanosleep@PLT
  loop_nap_at:
  movl loops_flag_word(%rip), %eax
  testl %eax, %eax
  je 1b
  addq $24, %rsp
  finish nap

  begin pauses                    # called by the next: a nap whose length it computes
  subq $24, %rsp
  imull $1000, %edi, %eax
  cltq
  movq %rax, 8(%rsp)
  movq $0, (%rsp)
  xorl %esi, %esi
  movq %rsp, %rdi
  call nanosleep@PLT
  loop_pauses_at:
  addq $24, %rsp
  finish pauses

  begin lock                      # a lock that naps longer each time
  pushq %rbx
  xorl %ebx, %ebx
  1: movl %ebx, %edi
  call loop_pauses
  loop_lock_at:
  addl $1, %ebx
  movl $1, %edx
  xorl %eax, %eax
  lock cmpxchgl %edx, loops_other_word(%rip)
  jne 1b
  popq %rbx
  finish lock

  begin deadline                  # called by the next: it writes to what it is given
  pushq %rbx
  movq %rdi, %rbx
  call nanosleep@PLT
  movq $1, 8(%rbx)
  popq %rbx
  finish deadline

  begin timed                     # while (!flag) { deadline(&when); nanosleep(...); }
  pushq %rbp
  subq $16, %rsp
  movq %rsp, %rbp
  1: movq %rbp, %rdi
  call loop_deadline
  call nanosleep@PLT
  loop_timed_at:
  cmpl $0, loops_flag_word(%rip)
  je 1b
  addq $16, %rsp
  popq %rbp
  finish timed

  begin fills                     # the same, and what it is given is another's
  1: movq %r12, %rdi
  call loop_deadline
  call nanosleep@PLT
  loop_fills_at:
  cmpl $0, loops_flag_word(%rip)
  je 1b
  finish fills

  begin counted                   # for (i = 0; i < 100 && !flag; ++i) nanosleep(...);
  pushq %rbx
  xorl %ebx, %ebx
  1: call nanosleep@PLT
  loop_counted_at:
  addl $1, %ebx
  cmpl $100, %ebx
  je 2f
  cmpl $0, loops_flag_word(%rip)
  je 1b
  2: popq %rbx
  finish counted

  begin result                    # while (nanosleep(...) != 0 && !flag);
  1: call nanosleep@PLT
  loop_result_at:
  testl %eax, %eax
  je 2f
  cmpl $0, loops_flag_word(%rip)
  je 1b
  2: finish result

  begin beats                     # it counts in memory
  1: addl $1, loops_other_word(%rip)
  call nanosleep@PLT
  loop_beats_at:
  cmpl $0, loops_flag_word(%rip)
  je 1b
  finish beats

  begin writes                    # it writes
  1: call nanosleep@PLT
  loop_writes_at:
  call write@PLT
  cmpl $0, loops_flag_word(%rip)
  je 1b
  finish writes

  begin works                     # while (!stopped) { while (!flag) nap; work(); }
  1: cmpl $0, loops_flag_word(%rip)
  jne 2f
  call nanosleep@PLT
  loop_works_at:
  jmp 1b
  2: call *%rbx
  jmp 1b
  finish works

  begin list                      # while (node) node = node->next;
  loop_list_at:
  1: movq (%rax), %rax
  testq %rax, %rax
  jne 1b
  finish list

  begin text                      # while (*text) ++text;
  loop_text_at:
  1: cmpb $0, (%rax)
  je 2f
  addq $1, %rax
  jmp 1b
  2: finish text

  begin computes                  # for (;;) sum += i;
  loop_computes_at:
  1: addq %rcx, %rax
  addq $1, %rcx
  jmp 1b
  finish computes

  begin sleeps                    # for (;;) nanosleep(...);
  1: call nanosleep@PLT
  loop_sleeps_at:
  jmp 1b
  finish sleeps

  begin straight                  # no loop at all
  call nanosleep@PLT
  loop_straight_at:
  cmpl $0, loops_flag_word(%rip)
  finish straight
)");
// clang-format on

#define DECLARE_LOOP(name) extern "C" const char loop_##name##_at[]
DECLARE_LOOP(spin);
DECLARE_LOOP(other);
DECLARE_LOOP(both);
DECLARE_LOOP(pointer);
DECLARE_LOOP(nap);
DECLARE_LOOP(pauses);
DECLARE_LOOP(lock);
DECLARE_LOOP(timed);
DECLARE_LOOP(fills);
DECLARE_LOOP(counted);
DECLARE_LOOP(result);
DECLARE_LOOP(beats);
DECLARE_LOOP(writes);
DECLARE_LOOP(works);
DECLARE_LOOP(list);
DECLARE_LOOP(text);
DECLARE_LOOP(computes);
DECLARE_LOOP(sleeps);
DECLARE_LOOP(straight);

namespace {

/// Names of exported functions.
class ExportedNames final : public Namer {
 public:
  std::vector<Frame> code(std::uint64_t address, bool, const std::vector<ModuleRecord>&) override {
    Frame frame;
    frame.address = address;
    Dl_info info{};
    if (dladdr(reinterpret_cast<void*>(address), &info) != 0 && info.dli_sname != nullptr)
      frame.function = info.dli_sname;
    return {frame};
  }
  void data(LockInfo&, const std::vector<ModuleRecord>&) override {}
};

/// This process, of which a thread is said to be at these places, innermost first: in a call that
/// the first of them made, or where it was interrupted.
std::vector<WaitingLoop> loops_at(std::initializer_list<const char*> places, bool called) {
  // A table's entry that was never used is for a call that was never made.
  const timespec none{};
  nanosleep(&none, nullptr);
  CHECK(write(1, "", 0) == 0);
  auto live = LiveProcess::open(getpid());
  Evidence evidence;
  evidence.process = live->look();
  ThreadEvidence thread;
  thread.tid = 200;
  thread.running = !called;
  if (called) {
    thread.call = SystemCall{230, {}, 0, 0};
    Frame libc;
    libc.module = "/usr/lib/libc.so.6";
    thread.stack.push_back(libc);
  }
  for (const char* place : places) {
    Frame frame;
    frame.address = reinterpret_cast<std::uint64_t>(place);
    frame.module = evidence.process.exe;
    thread.stack.push_back(frame);
  }
  evidence.process.threads = {thread};
  ExportedNames names;
  const LeftThread worker{0, reinterpret_cast<std::uint64_t>(&loop_worker), 0};
  return waiting_loops(live->memory(), evidence, {worker}, names);
}

}  // namespace

TEST_CASE("loops: one that only looks at a word waits, and the worker's code knows the word", "[loops]") {
  const auto loops = loops_at({loop_spin_at}, false);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].tid == 200);
  CHECK(loops[0].known_to_lost);
  CHECK_FALSE(loops[0].looks_elsewhere);
}

TEST_CASE("loops: of a word that no lost thread's code has nothing is known", "[loops]") {
  for (const char* place : {loop_other_at, loop_both_at}) {
    const auto loops = loops_at({place}, false);
    REQUIRE(loops.size() == 1);
    CHECK_FALSE(loops[0].known_to_lost);
  }
  const auto loops = loops_at({loop_pointer_at}, false);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].looks_elsewhere);
  CHECK_FALSE(loops[0].known_to_lost);
}

TEST_CASE("loops: naps belong to one that waits", "[loops]") {
  const auto loops = loops_at({loop_nap_at}, true);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].known_to_lost);
}

TEST_CASE("loops: a function that the loop calls may nap, and the loop may count its rounds",
          "[loops]") {
  const auto loops = loops_at({loop_pauses_at, loop_lock_at}, true);
  REQUIRE(loops.size() == 1);
  CHECK(loops[0].function.address == reinterpret_cast<std::uint64_t>(loop_lock_at));
}

TEST_CASE("loops: what is called may write to a variable of the loop's own, and to no other",
          "[loops]") {
  CHECK(loops_at({loop_timed_at}, true).size() == 1);
  CHECK(loops_at({loop_fills_at}, true).empty());
}

TEST_CASE("loops: one that ends by itself, or does anything, is none that waits", "[loops]") {
  CHECK(loops_at({loop_counted_at}, true).empty());
  CHECK(loops_at({loop_result_at}, true).empty());
  CHECK(loops_at({loop_beats_at}, true).empty());
  CHECK(loops_at({loop_writes_at}, true).empty());
  CHECK(loops_at({loop_works_at}, true).empty());
  CHECK(loops_at({loop_sleeps_at}, true).empty());
  CHECK(loops_at({loop_straight_at}, true).empty());
}

TEST_CASE("loops: one that moves through data or computes is none that waits", "[loops]") {
  CHECK(loops_at({loop_list_at}, false).empty());
  CHECK(loops_at({loop_text_at}, false).empty());
  CHECK(loops_at({loop_computes_at}, false).empty());
}

#endif
