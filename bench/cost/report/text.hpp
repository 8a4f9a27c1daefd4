// A result for a terminal: the main numbers; the page and the JSON have all. Pure; thread-safe.
#pragma once

#include <string>

#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

std::string result_text(const Result& result);

}  // namespace forkscope::cost
