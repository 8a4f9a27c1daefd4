#include "detector/cli/processes.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <map>
#include <set>
#include <string>

#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/small_file.hpp"
#include "detector/inspect/suspects.hpp"
#include "detector/inspect/unique_fd.hpp"

namespace forkscope::cli {
namespace {

std::uint64_t nanoseconds(clockid_t clock) {
  timespec now{};
  clock_gettime(clock, &now);
  return std::uint64_t(now.tv_sec) * 1'000'000'000u + std::uint64_t(now.tv_nsec);
}

/// Converts a record's time to what /proc/PID/stat counts in. Time spent suspended between the
/// record and now makes the result too late, which errs towards taking a process for the recorded
/// one.
std::uint64_t ticks_since_boot(std::uint64_t monotonic) {
  std::uint64_t suspended = nanoseconds(CLOCK_BOOTTIME) - nanoseconds(CLOCK_MONOTONIC);
  static const auto ticks = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  return (monotonic + suspended) / (1'000'000'000u / ticks);
}

template <typename Visit>
void each_process(const Visit& visit) {
  for (pid_t pid : all_processes())
    if (auto process = find_process(pid)) visit(*process);
}

}  // namespace

std::optional<Process> find_process(pid_t pid) {
  const auto stat = parse_stat(read_small_file(fmt::format("/proc/{}/stat", pid)));
  if (!stat) return std::nullopt;
  return Process{pid, stat->parent, stat->state, stat->start};
}

bool alive(const Process& process) {
  auto now = find_process(process.pid);
  return now && now->start == process.start && !now->ended();
}

std::vector<Process> descendants_of(pid_t root) {
  std::multimap<pid_t, Process> by_parent;
  each_process([&](const Process& process) { by_parent.emplace(process.parent, process); });
  std::vector<Process> found;
  std::vector<pid_t> open{root};
  std::set<pid_t> seen{root};
  while (!open.empty()) {
    pid_t parent = open.back();
    open.pop_back();
    auto [first, last] = by_parent.equal_range(parent);
    for (auto it = first; it != last; ++it) {
      if (!seen.insert(it->second.pid).second) continue;
      open.push_back(it->second.pid);
      if (!it->second.ended()) found.push_back(it->second);
    }
  }
  return found;
}

bool is_descendant(pid_t pid, pid_t ancestor) {
  // Bounded: parents read one after the other need not form a tree.
  for (int depth = 0; pid > 0 && depth < 1024; ++depth) {
    if (pid == ancestor) return true;
    auto process = find_process(pid);
    if (!process) return false;
    pid = process->parent;
  }
  return false;
}

std::vector<Process> living_processes(const Session& session) {
  std::map<pid_t, std::uint64_t> last_record;
  auto note = [&](pid_t pid, std::uint64_t time) {
    if (pid > 0) last_record[pid] = std::max(last_record[pid], time);
  };
  for (const HelloRecord& hello : session.hellos) note(hello.meta.pid, hello.meta.time);
  for (const ForkRecord& fork : session.forks) note(fork.fork.child, fork.meta.time);
  std::vector<Process> living;
  for (auto [pid, time] : last_record) {
    auto process = find_process(pid);
    // The record was written by the process or at its creation: a later start is another's. Two
    // ticks for the rounding of either side.
    if (process && !process->ended() && process->start <= ticks_since_boot(time) + 2)
      living.push_back(*process);
  }
  return living;
}

void send_signal(const Process& process, int signal) {
  // A pidfd pins the process; only then is it certain that the start time belongs to it.
  UniqueFd fd(static_cast<int>(syscall(SYS_pidfd_open, process.pid, 0)));
  auto now = find_process(process.pid);
  if (!now || now->start != process.start) return;
  if (fd) {
    syscall(SYS_pidfd_send_signal, fd.get(), signal, nullptr, 0);
  } else {
    kill(process.pid, signal);  // before Linux 5.3
  }
}

}  // namespace forkscope::cli
