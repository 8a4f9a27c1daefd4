// Ends a process tree for --timeout: SIGTERM to all, SIGKILL to those left after the grace time.
// Owned by the supervising thread.
#pragma once

#include <sys/types.h>

#include <vector>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/processes.hpp"

namespace forkscope::cli {

class TreeEnd {
 public:
  TreeEnd(pid_t root, const ArenaFile& arena) : root_(root), arena_(arena) {}

  /// SIGTERM to every process known so far, and SIGCONT so that stopped ones receive it.
  void terminate();
  /// SIGKILL to every process still there, and to those they started meanwhile.
  void kill_all();
  /// Whether none is left.
  bool gone();

 private:
  /// Adds whatever belongs to the tree now. Those found earlier stay: a process whose parent ended
  /// is found no other way.
  void collect();

  pid_t root_;
  const ArenaFile& arena_;
  std::vector<Process> processes_;
};

}  // namespace forkscope::cli
