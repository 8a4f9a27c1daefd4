// What `scenario list` and `scenario show` print. Layout only.
#pragma once

#include <string>
#include <vector>

#include "scenarios/runner/catalogue.hpp"

namespace forkscope::scenario {

std::string list_text(const std::vector<Entry>& catalogue);

/// Cause, mechanism, cure, and what each method promises.
std::string show_text(const Entry& entry);

/// Throws std::runtime_error when the source is not installed.
std::string source_text(const Entry& entry);

}  // namespace forkscope::scenario
