// Whether another process uses the memory of a process: clone(2) with CLONE_VM and without
// CLONE_THREAD, vfork(2). Its threads could wake this one's. Stops nothing. Not thread-safe.
//
// kcmp(2) compares the memory of two processes, and gives an order. A scan of a host asks for a
// thousand children of one server, all of the same size: ordered once, each of them is compared
// with ten others, not with all.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace forkscope {

class MemorySharers {
 public:
  /// Whether any other process of the host shares the memory of this one, wherever in the tree it
  /// is. Nothing: kcmp(2) is not to be had here. What began within the last second may be
  /// overlooked.
  std::optional<bool> shared(pid_t pid);

 private:
  /// Processes that show the same size of their address space: those that share it do, few others.
  struct Group {
    std::vector<pid_t> processes;
    bool ordered = false;
    std::vector<pid_t> by_memory;  ///< in the order of kcmp(2)
    std::vector<pid_t> strangers;  ///< those it refuses to compare: another user's
  };
  enum class Found { kNo, kYes, kStale };

  void list();
  static void order(Group& group);
  static Found search(const Group& group, pid_t pid);

  std::unordered_map<std::string, Group> groups_;  ///< by size
  std::chrono::steady_clock::time_point taken_{};
};

}  // namespace forkscope
