// Stops threads of real processes and lets them go, on every path.
#include "detector/inspect/stopped_threads.hpp"

#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/sem.h>
#include <sys/syscall.h>
#include <time.h>

#include <atomic>
#include <stdexcept>

#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/walk_stack.hpp"
#include "tests/unit/frozen/own_modules.hpp"
#include "tests/unit/support/blocked_process.hpp"

namespace {

using forkscope::LiveMemory;
using forkscope::Mapping;
using forkscope::Missing;
using forkscope::StoppedThread;
using forkscope::ThreadStop;
using forkscope::ThreadStopper;

std::string read_text(const std::string& path) {
  std::ifstream file(path);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

std::vector<Mapping> mappings(pid_t pid) {
  return forkscope::parse_maps(read_text("/proc/" + std::to_string(pid) + "/maps"));
}

pid_t tracer(pid_t pid) {
  const auto status =
      forkscope::parse_status(read_text("/proc/" + std::to_string(pid) + "/status"));
  return status ? status->tracer : -1;
}

ThreadStop look(pid_t pid, pid_t tid) {
  LiveMemory memory(pid);
  return ThreadStopper(pid, memory, mappings(pid)).look(tid);
}

void sleep_for_ever() {
  for (;;) pause();
}

[[gnu::noinline]] void spin_for_ever() {
  for (;;) asm volatile("");
}

/// A child that runs the function and is waited for by nothing.
class Child {
 public:
  explicit Child(const std::function<void()>& body) {
    pid_ = fork();
    if (pid_ == 0) {
      alarm(60);
      body();
      _exit(0);
    }
    REQUIRE(pid_ > 0);
  }
  ~Child() {
    if (!reaped_) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  int wait() {
    int status = 0;
    REQUIRE(waitpid(pid_, &status, 0) == pid_);
    reaped_ = true;
    return status;
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  bool reaped_ = false;
};

/// Does something while the thread is stopped.
class Hooked final : public forkscope::ProcessMemory {
 public:
  explicit Hooked(std::function<void()> hook) : hook_(std::move(hook)) {}
  bool read(std::uint64_t, std::span<std::byte>) override {
    hook_();
    return false;
  }

 private:
  std::function<void()> hook_;
};

bool stops(pid_t pid, char wanted) {
  return blocked::eventually([=] { return blocked::state(pid, pid) == wanted; });
}

}  // namespace

TEST_CASE("stopped threads: registers and stack give the whole stack, and all run again") {
  const blocked::Process process({sleep_for_ever, sleep_for_ever, sleep_for_ever});
  const auto modules = frozen::own_modules();
  LiveMemory memory(process.pid());
  const auto maps = mappings(process.pid());
  ThreadStopper stopper(process.pid(), memory, maps);
  forkscope::StackWalker walker(memory, modules);
  for (const pid_t tid : blocked::threads(process.pid())) {
    const auto seen = blocked::system_call(process.pid(), tid);
    const ThreadStop stop = stopper.look(tid);
    REQUIRE(std::holds_alternative<StoppedThread>(stop));
    const auto& thread = std::get<StoppedThread>(stop);
    REQUIRE(thread.call);
    CHECK(thread.call->number == seen->number);
    CHECK(thread.registers.sp == seen->sp);
    CHECK(thread.registers.pc == seen->pc);
    CHECK(thread.stack.address == seen->sp);
    CHECK(thread.stack.bytes.size() <= 256u << 10);
    const auto stack = walker.walk(thread.registers, {thread.stack});
    CHECK(stack.complete);
    CHECK(stack.certain == stack.addresses.size());
    CHECK(tracer(tid) == 0);
  }
  CHECK(stops(process.pid(), 'S'));
}

TEST_CASE("stopped threads: one that runs is in no system call, and runs on") {
  const Child child(spin_for_ever);
  REQUIRE(stops(child.pid(), 'R'));
  const auto start = reinterpret_cast<std::uintptr_t>(&spin_for_ever);
  // It may be on its way there from fork().
  ThreadStop stop = look(child.pid(), child.pid());
  const auto arrived = [&] {
    const auto* thread = std::get_if<StoppedThread>(&stop);
    return thread != nullptr && thread->registers.pc - start < 100;
  };
  for (int tries = 0; !arrived() && tries < 10'000; ++tries) stop = look(child.pid(), child.pid());
  REQUIRE(arrived());
  CHECK_FALSE(std::get<StoppedThread>(stop).call);
  const auto modules = frozen::own_modules();
  const auto stack = forkscope::StackWalker(modules).walk(std::get<StoppedThread>(stop).registers,
                                                          {std::get<StoppedThread>(stop).stack});
  CHECK(stack.complete);
  CHECK(stops(child.pid(), 'R'));
}

TEST_CASE("stopped threads: one stopped by a signal stays stopped") {
  const Child child(sleep_for_ever);
  REQUIRE(stops(child.pid(), 'S'));
  kill(child.pid(), SIGSTOP);
  REQUIRE(stops(child.pid(), 'T'));
  const ThreadStop stop = look(child.pid(), child.pid());
  CHECK(std::holds_alternative<StoppedThread>(stop));
  CHECK(tracer(child.pid()) == 0);
  CHECK(stops(child.pid(), 'T'));
  // And is let go by nothing but SIGCONT.
  kill(child.pid(), SIGCONT);
  CHECK(stops(child.pid(), 'S'));
}

TEST_CASE("stopped threads: run on when forkscope is killed, and stay stopped if they were") {
  const bool was_stopped = GENERATE(false, true);
  const Child child(sleep_for_ever);
  REQUIRE(stops(child.pid(), 'S'));
  if (was_stopped) kill(child.pid(), SIGSTOP);
  REQUIRE(stops(child.pid(), was_stopped ? 'T' : 'S'));
  const int signal = GENERATE(SIGKILL, SIGTERM);
  const pid_t target = child.pid();
  int seen[2];
  REQUIRE(pipe(seen) == 0);
  Child forkscope_process([=] {
    ::signal(SIGTERM, SIG_DFL);
    Hooked memory([=] {
      const char state = blocked::state(target, target);
      if (write(seen[1], &state, 1) == 1) kill(getpid(), signal);
      for (;;) pause();
    });
    (void)ThreadStopper(target, memory, {}).look(target);
  });
  const int status = forkscope_process.wait();
  CHECK(WIFSIGNALED(status));
  CHECK(WTERMSIG(status) == signal);
  char state = '?';
  REQUIRE(read(seen[0], &state, 1) == 1);
  CHECK(state == 't');  // the thread was held when forkscope died
  close(seen[0]);
  close(seen[1]);
  CHECK(stops(child.pid(), was_stopped ? 'T' : 'S'));
  CHECK(tracer(child.pid()) == 0);
  CHECK(std::holds_alternative<StoppedThread>(look(child.pid(), child.pid())));
}

TEST_CASE("stopped threads: run on when reading their memory throws") {
  const Child child(sleep_for_ever);
  REQUIRE(stops(child.pid(), 'S'));
  Hooked memory([] { throw std::runtime_error("unreadable"); });
  CHECK_THROWS_WITH(ThreadStopper(child.pid(), memory, {}).look(child.pid()), "unreadable");
  CHECK(tracer(child.pid()) == 0);
  CHECK(stops(child.pid(), 'S'));
}

TEST_CASE("stopped threads: one that cannot be interrupted is named and let go") {
  const Child child([] {
    if (vfork() == 0) {
      pause();  // the parent waits for it, uninterruptibly
      _exit(0);
    }
    sleep_for_ever();
  });
  REQUIRE(stops(child.pid(), 'D'));
  LiveMemory memory(child.pid());
  ThreadStopper stopper(child.pid(), memory, {}, {std::chrono::milliseconds(20), 4096});
  const ThreadStop stop = stopper.look(child.pid());
  REQUIRE(std::holds_alternative<Missing>(stop));
  CHECK(std::get<Missing>(stop).why.find("does not interrupt") != std::string::npos);
  CHECK(tracer(child.pid()) == 0);
  const std::string children =
      "/proc/" + std::to_string(child.pid()) + "/task/" + std::to_string(child.pid()) + "/children";
  const pid_t grandchild = std::stoi(read_text(children));
  kill(grandchild, SIGKILL);
  CHECK(stops(child.pid(), 'S'));
}

TEST_CASE("stopped threads: one that is traced already says by whom") {
  const Child child(sleep_for_ever);
  REQUIRE(stops(child.pid(), 'S'));
  int ready[2];
  REQUIRE(pipe(ready) == 0);
  const pid_t target = child.pid();
  const Child debugger([=] {
    const char byte = ptrace(PTRACE_SEIZE, target, nullptr, nullptr) == 0;
    if (write(ready[1], &byte, 1) == 1) sleep_for_ever();
  });
  char byte = 0;
  REQUIRE(read(ready[0], &byte, 1) == 1);
  REQUIRE(byte == 1);
  const ThreadStop stop = look(target, target);
  REQUIRE(std::holds_alternative<Missing>(stop));
  CHECK(std::get<Missing>(stop).why.find("process " + std::to_string(debugger.pid()) + " (") == 0);
  CHECK(tracer(target) == debugger.pid());
  close(ready[0]);
  close(ready[1]);
}

TEST_CASE("stopped threads: those that ended, and those of other processes, have no stack") {
  Child gone([] {});
  const Child other(sleep_for_ever);
  REQUIRE(stops(gone.pid(), 'Z'));
  const ThreadStop zombie = look(gone.pid(), gone.pid());
  REQUIRE(std::holds_alternative<Missing>(zombie));
  CHECK(std::get<Missing>(zombie).why == "it has ended");
  const ThreadStop foreign = look(getpid(), other.pid());
  REQUIRE(std::holds_alternative<Missing>(foreign));
  CHECK(std::get<Missing>(foreign).why == "it has ended");
  // The kernel lets go when the tracing thread exits (exit_notify), which is after it can be joined
  // (mm_release).
  while (tracer(other.pid()) != 0) sched_yield();
}

TEST_CASE("stopped threads: another user's need its permission") {
  if (geteuid() != 0) return;  // needs a second user
  const Child child(sleep_for_ever);
  REQUIRE(stops(child.pid(), 'S'));
  const pid_t target = child.pid();
  Child nobody([=] {
    if (setgid(65534) != 0 || setuid(65534) != 0) _exit(2);
    LiveMemory memory(target);
    const ThreadStop stop = ThreadStopper(target, memory, {}).look(target);
    const auto* missing = std::get_if<Missing>(&stop);
    _exit(missing != nullptr && missing->why.find("belongs to another user") != std::string::npos &&
                  missing->cure.find("sudo forkscope") == 0
              ? 0
              : 1);
  });
  const int status = nobody.wait();
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(tracer(target) == 0);
}

TEST_CASE("stopped threads: the system calls said to be disturbed are, and others are not") {
  struct Call {
    long number;
    void (*wait)();
  };
  static const Call calls[] = {
      {SYS_epoll_wait,
       [] {
         epoll_event event;
         epoll_wait(epoll_create1(0), &event, 1, -1);
       }},
      {SYS_semop,
       [] {
         const int set = semget(IPC_PRIVATE, 1, 0600);
         sembuf down{0, -1, 0};
         syscall(SYS_semop, set, &down, 1);  // semop() calls semtimedop
         semctl(set, 0, IPC_RMID);
       }},
      {SYS_rt_sigtimedwait,
       [] {
         sigset_t none;
         sigemptyset(&none);
         siginfo_t info;
         sigwaitinfo(&none, &info);
       }},
      {SYS_clock_nanosleep, [] { sleep(1000); }},
      {SYS_poll, [] { poll(nullptr, 0, -1); }},
      {SYS_pause, [] { pause(); }},
      {SYS_futex,
       [] {
         unsigned word = 1;
         syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, 1, nullptr, nullptr, 0);
       }},
      {SYS_read,
       [] {
         int ends[2];
         char byte;
         if (pipe(ends) == 0 && read(ends[0], &byte, 1) < 0) return;
       }},
  };
  for (const Call& call : calls) {
    INFO(call.number);
    int returned[2];
    REQUIRE(pipe2(returned, O_CLOEXEC) == 0);
    const Child child([&] {
      call.wait();
      const char byte = 1;
      if (write(returned[1], &byte, 1) == 1) sleep_for_ever();
    });
    REQUIRE(blocked::eventually([&] {
      const auto now = blocked::system_call(child.pid(), child.pid());
      return now && now->number == call.number;
    }));
    const auto before = blocked::switches(child.pid(), child.pid());
    REQUIRE(std::holds_alternative<StoppedThread>(look(child.pid(), child.pid())));
    // It is in a call again: the same one, or the pause that follows its return.
    REQUIRE(blocked::eventually([&] {
      return blocked::switches(child.pid(), child.pid()) > before &&
             blocked::system_call(child.pid(), child.pid()) && stops(child.pid(), 'S');
    }));
    pollfd poll_one{returned[0], POLLIN, 0};
    const bool disturbed = poll(&poll_one, 1, 0) == 1;
    CHECK(disturbed == (forkscope::disturbed_call(call.number) != nullptr));
    close(returned[0]);
    close(returned[1]);
  }
}
