// A whole run: plan, rounds over all cases in an order that changes, and the summaries.
//
// Not thread-safe: processes are started and waited for.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "bench/cost/drive/measure.hpp"
#include "bench/cost/drive/plan.hpp"
#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

struct RunOptions {
  bool full = false;
  std::string filter;  ///< a regular expression; what matches part of a name is measured
  Programs programs;
  std::string command;     ///< the forkscope command itself, for its price
  std::string ratios;      ///< forkscope-bench; empty: none
  std::string invocation;  ///< that repeats it
  std::uint64_t most_memory = UINT64_MAX;
  double seconds = 60;  ///< it ends within
};

struct Progress {
  std::string what;
  std::size_t done = 0, all = 0;  ///< cases of all rounds
  double seconds_left = 0;
};
using ShowProgress = std::function<void(const Progress&)>;

/// The cases that this run would measure or skip, filtered. The parts of the price are among them,
/// by their names alone. Throws std::regex_error.
struct Selection {
  std::vector<Planned> cases;
  std::vector<std::string> prices;
};
Selection select_cases(const RunOptions& options, const Limits& limits);

/// Throws Interrupted; std::runtime_error when nothing could be measured.
Result run_bench(const RunOptions& options, const Selection& selection, const ShowProgress& show);

}  // namespace forkscope::cost
