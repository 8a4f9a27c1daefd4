#include "detector/cli/supervise.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "detector/cli/output.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/tree_end.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

// The arena has no descriptor to wait on: writers only store. We look this often while they write,
// and back off to the longer interval while they do not.
constexpr auto kBusyInterval = 50ms;
constexpr auto kIdleInterval = 200ms;
constexpr auto kGrace = 2s;   ///< between SIGTERM and SIGKILL of --timeout
constexpr auto kGiveUp = 5s;  ///< after SIGKILL: a process in the kernel's hands may stay

/// Whether a shell may be waiting for our process group to stop by `stop_signal`.
///
/// Without a terminal nobody does, and a program stopped by its pid is continued by its pid, which
/// would leave us stopped for ever. The same goes for SIGSTOP in the background: job control stops
/// background jobs by SIGTTIN and SIGTTOU, and by a SIGSTOP to the group, which we get ourselves.
bool somebody_waits_for_stop(int stop_signal) {
  UniqueFd terminal(open("/dev/tty", O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!terminal) return false;
  return stop_signal != SIGSTOP || tcgetpgrp(terminal.get()) == getpgrp();
}

class Supervisor {
 public:
  Supervisor(pid_t program, const Signals& signals, ArenaFile& arena, Reporter& reporter,
             const SuperviseOptions& options)
      : program_(program),
        signals_(signals),
        arena_(arena),
        reporter_(reporter),
        options_(options),
        tree_(program, arena) {
    if (options.timeout) deadline_ = Clock::now() + *options.timeout;
  }

  /// Until the program's end, whatever fails here: nobody else would wait for it.
  RunEnd run() {
    while (true) {
      try {
        reap();
        look_at_arena();
        if (check_deadline()) return end_;
        wait();
        while (auto info = signals_.next()) handle(*info);
      } catch (const std::exception& error) {
        if (!std::exchange(failed_, true)) say(std::string(error.what()) + ", while the program runs");
        wait();
      }
    }
  }

 private:
  enum class Phase { kRunning, kTerminating, kKilling };

  std::chrono::milliseconds wait_time() const {
    auto wait = interval_;
    if (deadline_) {
      auto left = std::chrono::ceil<std::chrono::milliseconds>(*deadline_ - Clock::now());
      wait = std::clamp<std::chrono::milliseconds>(left, 0ms, interval_);
    }
    return wait;
  }

  void wait() const {
    pollfd ready{signals_.fd(), POLLIN, 0};
    poll(&ready, 1, static_cast<int>(wait_time().count()));
  }

  void look_at_arena() {
    arena_.grow_if_needed();
    std::uint64_t used = arena_.used();
    interval_ = used != used_ ? kBusyInterval
                              : std::min<std::chrono::milliseconds>(interval_ * 2, kIdleInterval);
    used_ = used;
    std::uint32_t wake = arena_.wake();
    if (wake != wake_) reporter_.look();
    wake_ = wake;
  }

  void reap() {
    siginfo_t info{};
    while (!ended_ &&
           waitid(P_PID, static_cast<id_t>(program_), &info,
                  WEXITED | WSTOPPED | WCONTINUED | WNOHANG) == 0 &&
           info.si_pid != 0) {
      switch (info.si_code) {
        case CLD_EXITED:
          end_.exit = info.si_status;
          ended_ = true;
          break;
        case CLD_KILLED:
        case CLD_DUMPED:
          end_.signal = info.si_status;
          ended_ = true;
          break;
        case CLD_STOPPED:
          stopped_ = true;
          stop_too(info.si_status);
          break;
        default:
          stopped_ = false;
      }
      info = {};
    }
  }

  /// The program was stopped; so that our parent, which waits for us, learns of it, we stop.
  void stop_too(int stop_signal) {
    if (!somebody_waits_for_stop(stop_signal)) return;
    auto begin = Clock::now();
    signals_.stop_by(stop_signal);
    if (deadline_) *deadline_ += Clock::now() - begin;
  }

  /// We were continued. When that was meant for the group the program was, too.
  void continue_program() {
    // Not its state in /proc: between our SIGCONT and now there may have been another Ctrl-Z, whose
    // stop must stay. What wait reports comes in order.
    reap();
    if (stopped_ && !ended_) kill(program_, SIGCONT);
  }

  void handle(const signalfd_siginfo& info) {
    int signal = static_cast<int>(info.ssi_signo);
    auto sender = static_cast<pid_t>(info.ssi_pid);
    if (ended_ || signal == SIGCHLD) return;
    if (signal == SIGCONT) return continue_program();
    if (info.ssi_code > 0 || info.ssi_code == SI_TIMER) {  // from the kernel
      if (signal == SIGHUP && getsid(0) == getpid()) kill(program_, SIGHUP);
      return;
    }
    if (sender == getpid() || is_descendant(sender, program_)) return;
    if (info.ssi_code == SI_QUEUE) {
      sigval value{};
      value.sival_ptr = reinterpret_cast<void*>(info.ssi_ptr);
      sigqueue(program_, signal, value);
    } else {
      kill(program_, signal);
    }
  }

  /// Whether the run is over.
  bool check_deadline() {
    bool due = deadline_ && Clock::now() >= *deadline_;
    switch (phase_) {
      case Phase::kRunning:
        if (ended_) return true;
        if (!due) return false;
        if (!options_.quiet) say("the time given by --timeout is over; ending the program");
        end_.timed_out = true;
        tree_.terminate();
        phase_ = Phase::kTerminating;
        deadline_ = Clock::now() + kGrace;
        return false;
      case Phase::kTerminating:
        if (ended_ && tree_.gone()) return true;
        if (!due) return false;
        tree_.kill_all();
        phase_ = Phase::kKilling;
        deadline_ = Clock::now() + kGiveUp;
        return false;
      case Phase::kKilling:
        if (due) say("some process of the program is still there after SIGKILL");
        return due || (ended_ && tree_.gone());
    }
    return true;
  }

  const pid_t program_;
  const Signals& signals_;
  ArenaFile& arena_;
  Reporter& reporter_;
  const SuperviseOptions& options_;
  TreeEnd tree_;

  RunEnd end_;
  bool ended_ = false;
  bool failed_ = false;   ///< and it was said
  bool stopped_ = false;  ///< as last reported by wait
  Phase phase_ = Phase::kRunning;
  std::optional<Clock::time_point> deadline_;
  std::chrono::milliseconds interval_ = kBusyInterval;
  std::uint64_t used_ = 0;
  std::uint32_t wake_ = 0;
};

}  // namespace

RunEnd supervise(pid_t program, const Signals& signals, ArenaFile& arena, Reporter& reporter,
                 const SuperviseOptions& options) {
  return Supervisor(program, signals, arena, reporter, options).run();
}

}  // namespace forkscope::cli
