// Printers of the runner: the table for people and the JSON document. Layout only, no verdicts.
#pragma once

#include <string>
#include <vector>

#include "scenarios/runner/outcome.hpp"

namespace forkscope::scenario {

/// Cells in columns as wide as needed, two spaces apart, no trailing spaces.
std::string aligned(const std::vector<std::vector<std::string>>& rows);

/// What the runs came to: "deadlock: orphaned-lock", or with counts when they differ:
/// "completes 1/50; deadlock 49/50".
std::string tally_text(const Case& runs);
/// ok, DIFFERS, skipped.
std::string verdict_text(const Case& runs);

/// The table of `scenario run`, and below it one line for each run that differs.
std::string cases_text(const std::vector<Case>& cases);

/// Schema forkscope.scenarios/1, indented by 2, ends with a newline.
std::string cases_json(const std::vector<Case>& cases);

}  // namespace forkscope::scenario
