// Signals of the command while a program runs: all are blocked and read from a signalfd, none is
// handled, so nothing interrupts us.
// One instance per process; to be created before any thread. See supervise.cpp for what is
// forwarded.
#pragma once

#include <signal.h>
#include <sys/signalfd.h>

#include <array>
#include <optional>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {

class Signals {
 public:
  /// Blocks every signal. Makes SIGCHLD default, since a parent that ignores it cannot wait;
  /// ignores SIGPIPE and SIGXFSZ, which our own writes would raise, so that they fail instead.
  Signals();
  /// Restores the mask: SIGINT ends us again. What is ignored stays so for the writes to come.
  ~Signals();
  Signals(const Signals&) = delete;
  Signals& operator=(const Signals&) = delete;

  /// Mask and all dispositions as inherited. Async-signal-safe: the child calls it before exec.
  void restore() const noexcept;

  int fd() const { return fd_.get(); }
  /// The next pending signal, if any. Never blocks.
  std::optional<signalfd_siginfo> next() const;

  /// Stops this process by `stop_signal` as if it had not been blocked. Returns when continued,
  /// or at once when the kernel refused, as it does for SIGTSTP in an orphaned process group.
  void stop_by(int stop_signal) const;

  /// Ends this process by `signal` as the program ended, without a second core dump.
  /// Returns only where the kernel protects us from it (PID 1 of a container).
  static void die_by(int signal);

 private:
  // The kernel's form of sigset_t, set by raw system calls: glibc's wrappers never touch its two
  // internal signals, and a mask is to be passed on exactly.
  unsigned long inherited_mask_ = 0;
  static constexpr std::array<int, 3> kChanged{SIGCHLD, SIGPIPE, SIGXFSZ};
  std::array<struct sigaction, kChanged.size()> inherited_{};
  UniqueFd fd_;
};

}  // namespace forkscope::cli
