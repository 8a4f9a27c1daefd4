// The findings that are accepted as they are: a text file that people keep beside the program.
//
//   forkscope-baseline 1
//   v1-3f0c2a9be1d45c07 deadlock # orphaned-lock: mutex orders.file_lock (reader), met in ...
//
// One line a finding, sorted, with nothing in it that changes from run to run, so that a change in
// the file is a change of the program. Everything after # is for people. An entry accepts a finding
// of its fingerprint and its severity or a milder one: who has accepted a hazard has not accepted a
// deadlock. What is unidentified (fingerprint.hpp) is never in it, and never accepted.
//
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// Reads the text of `file`. Throws std::runtime_error, "FILE:LINE: ..." with what was expected.
std::vector<BaselineEntry> parse_baseline(std::string_view text, const std::string& file);

/// The text of the entries of `kept` and the findings of the report, sorted.
std::string baseline_text(const Report& report, const std::vector<BaselineEntry>& kept = {});

/// Marks the findings that it accepts, and says in the report what became of its entries.
void compare_with_baseline(Report& report, const std::vector<BaselineEntry>& entries,
                           const std::string& file);

}  // namespace forkscope
