// Which plots a result has. Pure; thread-safe.
#pragma once

#include <vector>

#include "bench/cost/report/plot.hpp"

namespace forkscope::cost {

/// In the order of the page; those without a point are left out.
std::vector<Plot> figures(const Result& result);

}  // namespace forkscope::cost
