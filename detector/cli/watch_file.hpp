// SESSION/watched.json: the findings the watchdog of `forkscope run` made from outside, and what it
// saw of the processes of those the library made, so that `forkscope report` can tell them later.
// Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope::cli {

constexpr const char* kWatchFileName = "watched.json";

/// Replaces the file in one step. Nothing is written when there is nothing to say. Throws Failure.
void write_watched(const std::string& session, const std::vector<WatchedFinding>& findings,
                   const std::vector<FirstLook>& looks);

/// Empty without the file. Throws Failure when there is one that cannot be understood.
std::vector<WatchedFinding> read_watched(const std::string& session);
std::vector<FirstLook> read_looks(const std::string& session);

}  // namespace forkscope::cli
