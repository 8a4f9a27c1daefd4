#include "detector/inspect/stopped_threads.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <fstream>
#include <sstream>
#include <thread>

#include "detector/inspect/live_process.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/user_registers.hpp"

namespace forkscope {
namespace {

using Clock = std::chrono::steady_clock;

std::string task_folder(pid_t pid, pid_t tid) { return fmt::format("/proc/{}/task/{}", pid, tid); }

std::string text_of(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

Missing ended(pid_t tid) {
  return {fmt::format("thread {} has no stack", tid), "it has ended", ""};
}

/// A traced thread that is stopped; lets it go. If it cannot, the end of the tracer will.
class Detach {
 public:
  explicit Detach(pid_t tid) : tid_(tid) {}
  ~Detach() { ptrace(PTRACE_DETACH, tid_, nullptr, signal_); }
  Detach(const Detach&) = delete;
  Detach& operator=(const Detach&) = delete;
  /// The thread stopped because this signal came to it: it must still get it.
  void pass_on(int signal) { signal_ = signal; }

 private:
  pid_t tid_;
  long signal_ = 0;
};

enum class Wait { kStopped, kEnded, kNotInTime };

/// There is no waitpid with a time limit, and SIGCHLD belongs to the program around us.
Wait wait_for_stop(pid_t tid, std::chrono::milliseconds limit, int& status) {
  const Clock::time_point deadline = Clock::now() + limit;
  for (int round = 0;; ++round) {
    const pid_t got = waitpid(tid, &status, __WALL | WNOHANG);
    if (got < 0 && errno != EINTR) return Wait::kEnded;
    if (got == tid) return WIFSTOPPED(status) ? Wait::kStopped : Wait::kEnded;
    if (Clock::now() >= deadline) return Wait::kNotInTime;
    if (round < 20) {
      sched_yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
  }
}

}  // namespace

ThreadStop ThreadStopper::look(pid_t tid) {
  ThreadStop result = ended(tid);
  std::exception_ptr failure;
  sigset_t all, before;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, &before);  // inherited: signals are for the threads there were
  std::thread helper([&] {
    try {
      result = stop(tid);
    } catch (...) {
      failure = std::current_exception();
    }
  });
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  helper.join();
  if (failure) std::rethrow_exception(failure);
  return result;
}

ThreadStop ThreadStopper::stop(pid_t tid) {
  if (ptrace(PTRACE_SEIZE, tid, nullptr, nullptr) != 0) return refused(tid, errno);
  // Now that it cannot vanish unseen: it may be another process's that got the number.
  if (access(task_folder(pid_, tid).c_str(), F_OK) != 0) return ended(tid);
  if (ptrace(PTRACE_INTERRUPT, tid, nullptr, nullptr) != 0) return ended(tid);
  int status = 0;
  switch (wait_for_stop(tid, limits_.wait, status)) {
    case Wait::kEnded:
      return ended(tid);
    case Wait::kNotInTime:
      return Missing{
          fmt::format("thread {} could not be stopped", tid),
          fmt::format("it is in a state the kernel does not interrupt, and did not leave "
                      "it within {} ms",
                      limits_.wait.count()),
          fmt::format("sudo cat /proc/{}/task/{}/stack", pid_, tid)};
    case Wait::kStopped:
      break;
  }
  Detach detach(tid);
  if (status >> 16 == 0) detach.pass_on(WSTOPSIG(status));
  return copy(tid);
}

ThreadStop ThreadStopper::copy(pid_t tid) {
  user_regs_struct registers{};
  if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) != 0) return ended(tid);
  if (is_32_bit(registers)) {
    return Missing{fmt::format("thread {} has no stack", tid), "it runs 32-bit code", ""};
  }
  StoppedThread thread;
  thread.registers = known_registers(registers);
  thread.general = general_registers(registers);
  thread.call = system_call(registers);
  thread.stack = stack_from(thread.registers.sp);
  return thread;
}

MemoryBytes ThreadStopper::stack_from(std::uint64_t sp) {
  constexpr std::size_t kPage = 4096;
  MemoryBytes stack{sp, {}};
  const auto holds_sp = [sp](const Mapping& m) { return sp >= m.start && sp < m.end; };
  const auto mapping = std::find_if(mappings_.begin(), mappings_.end(), holds_sp);
  if (mapping != mappings_.end()) {
    stack.bytes.resize(std::min<std::uint64_t>(limits_.stack, mapping->end - sp));
    if (memory_.read(sp, stack.bytes)) return stack;
    stack.bytes.clear();
  }
  // Mapped since, or not as far as it was.
  while (stack.bytes.size() < limits_.stack) {
    const std::uint64_t at = sp + stack.bytes.size();
    std::byte page[kPage];
    const auto piece = std::span(page).first(kPage - at % kPage);
    if (!memory_.read(at, piece)) break;
    stack.bytes.insert(stack.bytes.end(), piece.begin(), piece.end());
  }
  return stack;
}

Missing ThreadStopper::refused(pid_t tid, int error) const {
  const auto stat = parse_stat(text_of(task_folder(pid_, tid) + "/stat"));
  if (error == ESRCH || !stat || stat->state == 'Z' || stat->state == 'X') return ended(tid);
  const std::string what = fmt::format("thread {} cannot be stopped", tid);
  const auto status = parse_status(text_of(task_folder(pid_, tid) + "/status"));
  if (status && status->tracer != 0) {
    const auto tracer = parse_stat(text_of(fmt::format("/proc/{}/stat", status->tracer)));
    return {what,
            fmt::format("process {} ({}) traces it already", status->tracer,
                        tracer ? tracer->name : "?"),
            ""};
  }
  return why_unreadable(pid_, what, error);
}

const char* disturbed_call(long number) {
  switch (number) {
#ifdef SYS_epoll_wait
    case SYS_epoll_wait:
      return "epoll_wait";
#endif
    case SYS_epoll_pwait:
      return "epoll_pwait";
#ifdef SYS_epoll_pwait2
    case SYS_epoll_pwait2:
      return "epoll_pwait2";
#endif
    case SYS_semop:
      return "semop";
    case SYS_semtimedop:
      return "semtimedop";
    case SYS_rt_sigtimedwait:
      return "sigtimedwait";
    case SYS_io_getevents:
      return "io_getevents";
#ifdef SYS_io_pgetevents
    case SYS_io_pgetevents:
      return "io_pgetevents";
#endif
#ifdef SYS_io_uring_enter
    case SYS_io_uring_enter:
      return "io_uring_enter";
#endif
    default:
      return nullptr;
  }
}

}  // namespace forkscope
