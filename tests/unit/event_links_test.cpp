// Whether the code of a living thread may cause an event: machine code of this very program, which is
// never run, and a variable that it refers to or does not.
#include "detector/inspect/event_links.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "detector/inspect/live_process.hpp"

#if defined(__x86_64__)

using namespace forkscope;

extern "C" int events_word;

// clang-format off
asm(R"(
  .data
  .balign 4096
  .globl events_word
  events_word: .long 0
  .space 4092
  .text
  .macro event name
  .globl events_\name\()_at
  events_\name:
  .cfi_startproc
  .endm
  .macro event_end
  ret
  .cfi_endproc
  .endm

  event signals                   # called by the next
  movl $1, events_word(%rip)
  event_end

  event works
  call getpid@PLT
  events_works_at:
  call events_signals
  event_end

  event polls                     # it refers to nothing, and calls nothing by a pointer
  call getpid@PLT
  events_polls_at:
  nop
  event_end

  event calls_back
  call getpid@PLT
  events_calls_back_at:
  call *%rbx
  event_end
)");
// clang-format on

extern "C" const char events_works_at[], events_polls_at[], events_calls_back_at[];

namespace {

class NoNames final : public Namer {
 public:
  std::vector<Frame> code(std::uint64_t, bool, const std::vector<ModuleRecord>&) override { return {}; }
  void data(LockInfo&, const std::vector<ModuleRecord>&) override {}
};

ThreadEvidence thread_at(std::int32_t tid, const char* place, const std::string& module) {
  ThreadEvidence thread;
  thread.tid = tid;
  thread.state = 'S';
  thread.settled = thread.stack_complete = true;
  Frame frame;
  frame.address = reinterpret_cast<std::uint64_t>(place);
  frame.module = module;
  thread.stack = {frame};
  thread.call = SystemCall{SYS_poll, {}, 0, 0};
  return thread;
}

struct Beside {
  const char* place = events_polls_at;
  bool whole_stack = true;
  std::uint64_t word = reinterpret_cast<std::uint64_t>(&events_word);
};

/// This process: its first thread waits for the word, another one is in the code.
std::vector<std::int32_t> unserved(const Beside& beside) {
  auto live = LiveProcess::open(getpid());
  Evidence evidence;
  evidence.process = live->look();
  ThreadEvidence waiter = thread_at(200, events_polls_at, evidence.process.exe);
  waiter.call = SystemCall{SYS_futex, {beside.word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0}, 0, 0};
  ThreadEvidence other = thread_at(201, beside.place, evidence.process.exe);
  other.stack_complete = beside.whole_stack;
  evidence.process.threads = {waiter, other};
  NoNames names;
  return unserved_waits(live->memory(), evidence, names);
}

}  // namespace

TEST_CASE("events: nobody serves a wait whose variable no other thread's code refers to", "[events]") {
  CHECK(unserved({}) == std::vector<std::int32_t>{200});
}

TEST_CASE("events: code that refers to the variable in what it calls serves it", "[events]") {
  CHECK(unserved({events_works_at}).empty());
}

TEST_CASE("events: who calls by a pointer, or whose stack is not known, may do anything",
          "[events]") {
  CHECK(unserved({events_calls_back_at}).empty());
  Beside beside;
  beside.whole_stack = false;
  CHECK(unserved(beside).empty());
}

TEST_CASE("events: of a word on a stack or the heap nothing is known", "[events]") {
  int word = 0;
  Beside beside;
  beside.word = reinterpret_cast<std::uint64_t>(&word);
  CHECK(unserved(beside).empty());
}

#endif
