// Starts the program: fork, signals as inherited, exec. Single-threaded callers only.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "detector/cli/signals.hpp"

namespace forkscope::cli {

/// Runs `path` with `command` as its arguments (command[0] included) and `environment`, in this
/// process's group, session and terminal, with its descriptors, mask and dispositions. Returns when
/// the exec succeeded. Throws Failure (126, 127 or 125) when it did not; no process is left then.
pid_t launch(const std::string& path, const std::vector<std::string>& command,
             const std::vector<std::string>& environment, const Signals& signals);

}  // namespace forkscope::cli
