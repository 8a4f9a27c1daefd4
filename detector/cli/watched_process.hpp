// One process of the tree as the watchdog sees it: signs of life for one read each, whom it forked.
// Reads /proc; stops nothing. Not thread-safe.
//
// What says that a thread has not run for an instant is /proc/PID/task/PID/schedstat: time on a
// processor, time in line for one, how often it got one. Kernels without CONFIG_SCHED_INFO have
// zeros there; then the count of context switches in status does, which costs ten times as much.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/processes.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {

/// Grows whenever the first thread runs. Equal in two reads: it slept all the time between, or
/// waited for a processor.
struct Pulse {
  std::uint64_t ran = 0;      ///< nanoseconds; 0 where the kernel does not say
  std::uint64_t in_line = 0;  ///< nanoseconds ready to run, without a processor
  std::uint64_t turns = 0;
  bool operator==(const Pulse&) const = default;
};

/// Where the first thread is blocked.
struct Place {
  long call = -1;
  std::uint64_t arguments[2] = {};
  std::uint64_t sp = 0, pc = 0;
  bool for_ever_in_futex = false;  ///< a futex wait without a time limit
  bool for_a_time = false;         ///< a nap, or a futex wait with one
  bool operator==(const Place&) const = default;
};

class WatchedProcess {
 public:
  /// Null when there is no such process, or it has ended.
  static std::unique_ptr<WatchedProcess> open(pid_t pid);

  const Process& id() const { return id_; }
  /// When it was opened: created by fork, vfork or clone, and execve not called since.
  bool forked() const { return forked_; }

  /// Nothing when the process is gone.
  std::optional<Pulse> pulse();
  /// Nothing while the first thread runs or is ready to, and when that may not be read.
  std::optional<Place> place() const;
  /// It is the child of a probe (fork:probe): no process of the program's.
  bool is_probe() const;
  /// 0 when it is gone.
  std::size_t thread_count() const;
  /// PIDs of its children. `threads` is thread_count().
  std::vector<pid_t> children(std::size_t threads) const;

 private:
  WatchedProcess() = default;

  Process id_;
  bool forked_ = false;
  std::string folder_;  ///< /proc/PID/task
  UniqueFd pulse_;      ///< bound to the process, not to its number
  bool by_status_ = false;
};

}  // namespace forkscope::cli
