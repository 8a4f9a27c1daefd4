// Many processes at once, of which some may hang: `scan`, and the children of what `attach` is
// asked about. Nothing is stopped. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <vector>

#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope::cli {

/// The diagnoses with a finding among these processes, in the order of their PIDs. Of children that
/// hang alike one is looked at as a whole; there is one pause for all whose waits may be short.
std::vector<Diagnosis> diagnose_suspects(const std::vector<pid_t>& pids, Namer& namer);

}  // namespace forkscope::cli
