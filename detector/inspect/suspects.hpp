// Which processes are worth a whole look: cheap enough to ask of every process of a host.
// Thread-safe; nothing is stopped.
#pragma once

#include <sys/types.h>

#include <optional>
#include <vector>

namespace forkscope {

enum class Suspicion {
  kNone,        ///< not forked, or no thread of it waits for ever for another one
  kWaits,       ///< forked, and some thread waits in a futex without a time limit
  kUnreadable,  ///< forked, but what it waits for cannot be read
};

/// Nothing when there is no such process.
std::optional<Suspicion> suspicion_of(pid_t pid);

/// All processes, in the order of their PIDs; none where /proc is not mounted.
std::vector<pid_t> all_processes();

}  // namespace forkscope
