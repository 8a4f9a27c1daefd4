// Runs code in a forked child whose deadlocks end it with a status of their own: nothing hangs
// here.
#pragma once

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>

#include "detector/tracker/process.hpp"

namespace forkscope {

inline constexpr int kDeadlock = 86;

/// The child's exit status is what `body` returns, kDeadlock when it would have waited for ever, or
/// 128 and its signal.
inline int child_status(const std::function<int()>& body) {
  process.options.log_stderr = false;
  process.options.on_deadlock = OnDeadlock::kExit;
  process.options.exit_status = kDeadlock;
  pid_t child = fork();
  if (child == 0) {
    for (int number = 1; number < 32; ++number) ::signal(number, SIG_DFL);  // Catch2's handlers
    _exit(body());
  }
  process.options.on_deadlock = OnDeadlock::kReport;
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace forkscope
