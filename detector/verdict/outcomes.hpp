// What became of each child. Pure functions of the records; thread-safe.
//
// Pids are reused in long sessions, so an event belongs to the latest fork of that pid before it:
//
//   fork 1 -> pid 7    exit 7    fork 2 -> pid 7    exec 7
//   |<------- life of fork 1 -->|<------- life of fork 2 ...
//
// Children of vfork have no pid in their Fork record; their Exec and Exit carry the fork's id.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

enum class ChildEnd { kUnknown, kExec, kExit, kSignal, kRunning, kDeadlock };

struct ChildOutcome {
  std::int32_t child = 0;  ///< pid, also of vfork children that showed it
  ChildEnd end = ChildEnd::kUnknown;
  std::optional<int> status;  ///< exit status or signal number, for kExit and kSignal
  bool said_exit = false;     ///< it called exit or _exit itself
};

std::string child_end_word(ChildEnd end);

/// Whether a finding says that its process hangs. A process that met missing memory dies by a
/// signal, and that is its outcome.
bool is_hang(const FindingRecord& record,
             const std::map<std::uint64_t, record::Outcome>& finding_outcomes);

/// The last word on each finding, by Finding::id. kAcquired overrules what was thought before.
std::map<std::uint64_t, record::Outcome> finding_outcomes(const Session& session);

/// One entry for each of session.forks, in the same order.
std::vector<ChildOutcome> child_outcomes(const Session& session, const RunFacts& facts);

/// Programs that were started by exec and did not take part in the session.
std::vector<NotObservedProgram> unobserved_programs(const Session& session);

}  // namespace forkscope
