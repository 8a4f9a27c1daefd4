// What forkscope itself costs: the table of forkscope-bench, the same pair of calls under other
// tools, whole programs, and memory per thread. Starts processes; not thread-safe.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/cost/drive/measure.hpp"
#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

struct PriceOptions {
  bool full = false;
  std::string command;  ///< forkscope
  std::string ratios;   ///< forkscope-bench
  Programs programs;
  std::function<double()> seconds_left;  ///< what does not fit is left out with a word
};

/// The names that --filter looks at: "price/library", "price/tools", "price/programs".
const std::vector<std::string>& price_parts();
/// How long these will take, roughly.
double price_seconds(const std::vector<std::string>& parts, bool full);

/// What cannot be measured is a remark. Throws Interrupted.
Price measure_price(const PriceOptions& options, const std::vector<std::string>& parts,
                    const std::function<void(const std::string&)>& show);

}  // namespace forkscope::cost
