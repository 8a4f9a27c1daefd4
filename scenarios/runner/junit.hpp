// The cases of a run as JUnit XML, which most systems for continuous integration read: one test for
// each scenario, method and way, with the differences of its runs. Layout only, no verdicts.
#pragma once

#include <string>
#include <vector>

#include "scenarios/runner/outcome.hpp"

namespace forkscope::scenario {

std::string cases_junit(const std::vector<Case>& cases);

}  // namespace forkscope::scenario
