// Stacks of threads that are blocked and not stopped, compared with what all registers give.
#include "detector/inspect/walk_stack.hpp"

#include <alloca.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <semaphore.h>
#include <sys/epoll.h>
#include <sys/ptrace.h>
#include <sys/select.h>
#include <sys/syscall.h>
#include <sys/user.h>

#include <algorithm>

#include "tests/unit/frozen/own_modules.hpp"
#include "tests/unit/support/blocked_process.hpp"

#define OPTIONS
#define CHAIN unoptimised
#include "tests/unit/support/blocked_chains.inc"
#undef OPTIONS
#undef CHAIN
#define OPTIONS [[gnu::optimize("O2", "omit-frame-pointer")]]
#define CHAIN optimised
#include "tests/unit/support/blocked_chains.inc"
#undef OPTIONS
#undef CHAIN
#define OPTIONS [[gnu::optimize("O2", "no-omit-frame-pointer")]]
#define CHAIN frame_pointer
#include "tests/unit/support/blocked_chains.inc"

namespace {

using forkscope::KnownRegisters;
using forkscope::StackWalker;
using forkscope::WalkedStack;

constexpr int kWays = 10;

// Some frames of the sanitizers' wrappers of system calls cannot be bridged: then the walk ends.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif

KnownRegisters as_seen(pid_t pid, pid_t tid) {
  const auto call = blocked::system_call(pid, tid);
  REQUIRE(call);
  KnownRegisters registers;
  registers.pc = call->pc;
  registers.sp = call->sp;
  return registers;
}

/// All of them, with the thread stopped: what is right.
KnownRegisters all_registers(pid_t tid) {
  REQUIRE(ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) == 0);
  REQUIRE(ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) == 0);
  REQUIRE(waitpid(tid, nullptr, __WALL) == tid);
  user_regs_struct r{};
  REQUIRE(ptrace(PTRACE_GETREGS, tid, nullptr, &r) == 0);
  REQUIRE(ptrace(PTRACE_DETACH, tid, nullptr, nullptr) == 0);
  return {r.rip, r.rsp, r.rbp, r.rbx, r.r12, r.r13, r.r14, r.r15};
}

struct Compared {
  int threads = 0, complete = 0;
  std::size_t addresses = 0, seen = 0, certain = 0, wrong = 0;
};

/// Every address called certain must be right.
Compared compare(const std::vector<std::function<void()>>& bodies) {
  const blocked::Process process(bodies);
  forkscope::LiveMemory memory(process.pid());
  const auto modules = frozen::own_modules();
  StackWalker walker(memory, modules);
  Compared sum;
  const auto tids = blocked::threads(process.pid());
  for (const pid_t tid : tids) {
    const KnownRegisters seen = as_seen(process.pid(), tid);
    const WalkedStack stack = walker.walk(seen);
    const KnownRegisters all = all_registers(tid);
    CHECK(all.sp == seen.sp);
    const WalkedStack truth = walker.walk(all);
    CHECK(truth.complete);
    CHECK(truth.certain == truth.addresses.size());
    ++sum.threads;
    sum.complete += stack.complete;
    sum.addresses += truth.addresses.size();
    sum.seen += stack.addresses.size();
    sum.certain += stack.certain;
    REQUIRE(stack.certain <= stack.addresses.size());
    for (std::size_t i = 0; i < stack.addresses.size(); ++i) {
      const bool right = i < truth.addresses.size() && stack.addresses[i] == truth.addresses[i];
      if (i < stack.certain) CHECK(right);
      sum.wrong += !right;
    }
  }
  return sum;
}

template <class Function>
std::vector<std::function<void()>> in_every_way(Function function) {
  std::vector<std::function<void()>> bodies;
  for (int way = 0; way < kWays; ++way) bodies.push_back([=] { function(way); });
  return bodies;
}

}  // namespace

TEST_CASE("walk stack: of blocked threads as long as with all registers, and never wrong") {
  struct Chain {
    const char* name;
    int (*plain)(int);
    int (*difficult)(int);
    std::size_t certain_percent;
  };
  // Without a frame pointer only alloca and aligned frames are found by their looks: one frame in
  // the middle of the difficult chain.
  const Chain chain =
      GENERATE(Chain{"unoptimised", unoptimised::plain_outer, unoptimised::outer, 90},
               Chain{"optimised", optimised::plain_outer, optimised::outer, 90},
               Chain{"frame pointer", frame_pointer::plain_outer, frame_pointer::outer, 80});
  INFO(chain.name);
  const Compared plain = compare(in_every_way(chain.plain));
  CHECK(plain.wrong == 0);
  const Compared difficult = compare(in_every_way(chain.difficult));
  CHECK(difficult.wrong == 0);
  if (kSanitized) return;
  CHECK(plain.complete == plain.threads);
  CHECK(plain.seen == plain.addresses);
  CHECK(plain.certain * 100 >= plain.addresses * chain.certain_percent);
  CHECK(difficult.complete == difficult.threads);
  CHECK(difficult.seen == difficult.addresses);
}

TEST_CASE("walk stack: through a signal handler that waits, whose frame has all registers") {
  const blocked::Process process({[] {
    signal(SIGUSR1, [](int) { unoptimised::plain_outer(6); });
    raise(SIGUSR1);
  }});
  forkscope::LiveMemory memory(process.pid());
  const auto modules = frozen::own_modules();
  StackWalker walker(memory, modules);
  const WalkedStack stack = walker.walk(as_seen(process.pid(), process.pid()));
  const WalkedStack truth = walker.walk(all_registers(process.pid()));
  CHECK(truth.complete);
  CHECK(stack.complete);
  CHECK(stack.addresses == truth.addresses);
  // The trampoline's first instruction, and where raise() goes on.
  REQUIRE(stack.interrupted.size() == 2);
  const auto at = std::find(stack.addresses.begin(), stack.addresses.end(), stack.interrupted[0]);
  REQUIRE(stack.addresses.end() - at > 1);
  CHECK(*(at + 1) == stack.interrupted[1]);
}

TEST_CASE("walk stack: without the file of a function it ends there and says so") {
  const blocked::Process process({[] { optimised::plain_outer(6); }});
  forkscope::LiveMemory memory(process.pid());
  auto modules = frozen::own_modules();
  const KnownRegisters seen = as_seen(process.pid(), process.pid());
  const WalkedStack truth = StackWalker(memory, modules).walk(seen);
  for (auto& module : modules)
    if (module.path.find("libc") == std::string::npos) module.file = module.path + " (gone)";
  const WalkedStack stack = StackWalker(memory, modules).walk(seen);
  CHECK_FALSE(stack.complete);
  REQUIRE(stack.certain > 1);
  REQUIRE(stack.certain < truth.addresses.size());
  for (std::size_t i = 0; i < stack.certain; ++i) CHECK(stack.addresses[i] == truth.addresses[i]);
}

TEST_CASE("walk stack: a thousand threads cost a few reads each") {
  constexpr std::size_t kThreads = 1000;
  std::vector<std::function<void()>> bodies;
  for (std::size_t i = 0; i < kThreads; ++i) {
    bodies.push_back([i] { unoptimised::plain_outer(i % 2 == 0 ? 2 : 3); });
  }
  const blocked::Process process(bodies);
  blocked::Memory memory(process.pid());
  const auto modules = frozen::own_modules();
  const auto tids = blocked::threads(process.pid());
  std::vector<KnownRegisters> seen;
  for (const pid_t tid : tids) seen.push_back(as_seen(process.pid(), tid));
  const auto begin = std::chrono::steady_clock::now();
  StackWalker walker(memory, modules);
  std::size_t complete = 0;
  for (const KnownRegisters& registers : seen) complete += walker.walk(registers).complete;
  const std::chrono::duration<double, std::milli> time = std::chrono::steady_clock::now() - begin;
  CHECK(complete == kThreads);
  CHECK(memory.reads < 3 * kThreads);
  INFO(time.count() << " ms");
  CHECK(time.count() < 5000);  // some 50 ms on an idle machine
}
