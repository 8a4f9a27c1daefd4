// Findings as JUnit XML (xunit2), which most systems for continuous integration read: one test case
// for each finding, and one for the look itself. Pure function; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// `suite` names what was looked at: "run", "scan". Deadlocks, probable and latent ones fail;
/// those that a baseline accepts are skipped; hazards and notes pass, with what they say.
/// Class name and name together are unique, and the same in the next run.
std::string findings_junit(const std::vector<const Finding*>& findings, const std::string& suite);

}  // namespace forkscope
