// Findings as SARIF 2.1.0, within the limits of GitHub's code scanning: docs/reports.md.
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

struct SarifOptions {
  std::string root;  ///< of the repository, absolute; paths are written relative to it
  std::string fallback;  ///< where to put a finding no frame of which is in the repository
  std::size_t most_results = 5000;
  std::size_t most_bytes = 10'000'000;
};

/// `findings` gravest first: those that do not fit are left out from the end, and counted in a
/// notification. Ends with a newline.
std::string findings_sarif(const std::vector<const Finding*>& findings,
                           const SarifOptions& options);

}  // namespace forkscope
