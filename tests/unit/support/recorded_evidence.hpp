// Evidence from a file of tests/data/processes: texts of /proc and memory of real processes, read
// by the same parsers as those of a living process.
#pragma once

#include <string>

#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope::test::outside {

/// Of the file of that name, without ".txt". Fails the test when there is none, or it does not
/// parse.
Evidence recorded(const std::string& name);

/// Its diagnosis; locks are named by their module and offset only.
Diagnosis judge_recorded(const Evidence& evidence);

}  // namespace forkscope::test::outside
