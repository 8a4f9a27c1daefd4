// Starts the program: fork, signals and limits as inherited, exec.
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <string>
#include <vector>

#include "detector/cli/signals.hpp"

namespace forkscope::cli {

/// As many descriptors as this process may have, while it lives: the watchdog wants one for each
/// process of the program's tree. The program gets the limit as it was.
class DescriptorLimit {
 public:
  DescriptorLimit();
  void restore() const noexcept;  ///< async-signal-safe
  /// Throws Failure when there are too few descriptors left to watch a program with.
  void require_some() const;

 private:
  rlimit inherited_{};
};

/// Runs `path` with `command` as its arguments (command[0] included) and `environment`, in this
/// process's group, session and terminal, with its descriptors, mask and dispositions. Returns when
/// the exec succeeded. The caller may have threads: the child calls nothing but what is
/// async-signal-safe. Throws Failure (126, 127 or 125) when it did not; no process is left then.
pid_t launch(const std::string& path, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const Signals& signals,
             const DescriptorLimit& descriptors);

}  // namespace forkscope::cli
