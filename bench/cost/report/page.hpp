// The report as one HTML file: nothing is loaded, no script is needed, plots are inline SVG. Light,
// dark and print. Pure; thread-safe.
#pragma once

#include <string>

#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

std::string result_page(const Result& result);

}  // namespace forkscope::cost
