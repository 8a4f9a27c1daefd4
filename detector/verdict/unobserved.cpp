// Programs the session lost sight of at an exec.
#include <sys/wait.h>

#include <algorithm>
#include <map>
#include <utility>

#include "detector/verdict/outcomes.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr int kLoaderFailure =
    127;  // ld.so's status for a missing library, a shell's for no command

bool follows(const RecordMeta& later, const RecordMeta& earlier) {
  return std::pair(later.time, later.offset) > std::pair(earlier.time, earlier.offset);
}

/// The records by pid and in order, so that sessions of many execs stay cheap.
struct ByPid {
  std::map<std::int32_t, std::vector<const ForkRecord*>> forks;
  std::map<std::int32_t, std::vector<const HelloRecord*>> hellos;
  std::map<std::int32_t, std::vector<const ExecRecord*>> execs;
  std::map<std::int32_t, std::vector<const ExecFailedRecord*>> failures;
  std::map<std::int32_t, std::vector<const ChildStatusRecord*>> statuses;
  std::map<std::uint64_t, const ForkRecord*> fork_by_id;

  explicit ByPid(const Session& session) {
    for (const auto& r : session.forks) {
      forks[r.fork.child].push_back(&r);
      fork_by_id.emplace(r.fork.id, &r);
    }
    for (const auto& r : session.hellos) hellos[r.meta.pid].push_back(&r);
    for (const auto& r : session.execs) execs[r.meta.pid].push_back(&r);
    for (const auto& r : session.exec_failures) failures[r.meta.pid].push_back(&r);
    for (const auto& r : session.child_statuses) statuses[r.status.child].push_back(&r);
    sort(forks), sort(hellos), sort(execs), sort(failures), sort(statuses);
  }

 private:
  template <typename Lists>
  static void sort(Lists& lists) {
    for (auto& [pid, list] : lists)
      std::sort(list.begin(), list.end(),
                [](const auto* a, const auto* b) { return follows(b->meta, a->meta); });
  }
};

template <typename Record>
const Record* first_after(const std::map<std::int32_t, std::vector<const Record*>>& by_pid,
                          std::int32_t pid, const RecordMeta& meta) {
  const auto list = by_pid.find(pid);
  if (list == by_pid.end()) return nullptr;
  const auto first = std::upper_bound(list->second.begin(), list->second.end(), meta,
                                      [](const RecordMeta& earlier, const Record* record) {
                                        return follows(record->meta, earlier);
                                      });
  return first == list->second.end() ? nullptr : *first;
}

std::int32_t process_of(const ExecRecord& exec, const ByPid& by_pid) {
  const auto fork = by_pid.fork_by_id.find(exec.exec.fork);
  const bool known =
      exec.exec.fork != 0 && fork != by_pid.fork_by_id.end() && fork->second->fork.child != 0;
  return known ? fork->second->fork.child : exec.meta.pid;
}

bool failed(const ExecRecord& exec, const ByPid& by_pid) {
  // The next record of this process about an exec decides: another attempt means this one failed
  // or succeeded before it, an ExecFailed that it failed.
  const auto* failure = first_after(by_pid.failures, exec.meta.pid, exec.meta);
  const auto* next = first_after(by_pid.execs, exec.meta.pid, exec.meta);
  return failure != nullptr && (next == nullptr || follows(next->meta, failure->meta));
}

/// Whether a program that should have loaded the library ran without it. Only what cannot be
/// explained otherwise counts: the process was collected with an exit status of its own, and no
/// record of the session was lost.
bool stayed_silent(const Session& session, const ExecRecord& exec, const ByPid& by_pid) {
  if (session.counters.dropped_records > 0 || session.skipped_bytes > 0) return false;
  const std::int32_t pid = process_of(exec, by_pid);
  if (const auto hellos = by_pid.hellos.find(pid); hellos != by_pid.hellos.end()) {
    for (const HelloRecord* hello : hellos->second) {
      // A spawned child can greet before its parent has written the record of the exec.
      if (exec.exec.fork != 0 || follows(hello->meta, exec.meta)) return false;
    }
  }
  const auto* status = first_after(by_pid.statuses, pid, exec.meta);
  const auto* reuse = first_after(by_pid.forks, pid, exec.meta);
  return status != nullptr && (reuse == nullptr || follows(reuse->meta, status->meta)) &&
         WIFEXITED(status->status.status) && WEXITSTATUS(status->status.status) != kLoaderFailure;
}

}  // namespace

std::vector<NotObservedProgram> unobserved_programs(const Session& session) {
  const ByPid by_pid(session);
  std::vector<NotObservedProgram> programs;
  std::map<std::pair<std::string, std::string>, std::size_t> known;
  for (const ExecRecord& exec : session.execs) {
    std::string reason = not_observed_clause(exec.exec.reason);
    if (failed(exec, by_pid)) continue;
    if (reason.empty()) {
      if (!stayed_silent(session, exec, by_pid)) continue;
      reason = "did not load the library";
    }
    const auto [entry, is_new] = known.emplace(std::pair(exec.path, reason), programs.size());
    if (is_new) {
      programs.push_back({process_of(exec, by_pid), exec.path, reason, 1});
    } else {
      ++programs[entry->second].count;
    }
  }
  return programs;
}

}  // namespace forkscope
