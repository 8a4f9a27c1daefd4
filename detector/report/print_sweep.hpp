// Printers of a SweepTable. No logic beyond layout: whatever is said was decided in verdict/.
#pragma once

#include <string>

#include "detector/report/print.hpp"
#include "detector/verdict/sweep.hpp"

namespace forkscope {

/// A line or two for each run, and one with their numbers. Verbose: all with the line that makes
/// the run again, not only deadlocks.
std::string sweep_text(const SweepTable& table, const TextOptions& options);
/// "1 deadlocked, 2 survived"
std::string sweep_counts_text(const SweepCounts& counts);
/// schema forkscope.sweep/1, indented by 2, ends with a newline.
std::string sweep_json(const SweepTable& table);

}  // namespace forkscope
