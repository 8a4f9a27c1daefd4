// Processes as /proc shows them, told apart from later ones with the same pid by their start time.
// Thread-safe: reads /proc, keeps nothing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "detector/record/session.hpp"

namespace forkscope::cli {

struct Process {
  pid_t pid = 0;
  pid_t parent = 0;
  char state = '?';         ///< proc(5): R, S, D, T, Z, ...
  std::uint64_t start = 0;  ///< clock ticks since boot

  bool ended() const { return state == 'Z' || state == 'X'; }
};

std::optional<Process> find_process(pid_t pid);

/// Whether the same process is still there and has not ended.
bool alive(const Process& process);

/// `root`'s living descendants, without itself. A process whose parent ended is no descendant any
/// more: the session's records know those.
std::vector<Process> descendants_of(pid_t root);
bool is_descendant(pid_t pid, pid_t ancestor);

/// The observed processes of a session that are alive.
std::vector<Process> living_processes(const Session& session);

/// Sends `signal` to that very process, never to a later one with its pid.
void send_signal(const Process& process, int signal);

}  // namespace forkscope::cli
