// What changed between two results beyond noise. Pure functions; thread-safe.
//
// Each case of both is a pair. A case changed if Welch's t-test on the logarithms of its rounds'
// medians says so (Holm's correction for the number of cases, 5 %) and the change is larger than
// what the A/A controls of either result show noise to do. Whether everything of a method went one
// way is asked of all its pairs together, by Wilcoxon's signed-rank test: it sees shifts that are
// too small for a single case.
#pragma once

#include <string>
#include <vector>

#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

struct ComparedCase {
  std::string name, clock;
  double before = 0, after = 0;  ///< medians, ns
  Comparison comparison;
  double adjusted = 1;  ///< p after Holm
  bool changed = false;
};

struct ComparedMethod {
  std::string method, clock;
  std::size_t pairs = 0;
  Comparison comparison;
};

struct Compared {
  std::vector<ComparedCase> cases;  ///< those that changed first, largest change first
  std::vector<ComparedMethod> methods;
  std::vector<std::string> only_before, only_after;
  double noise = 0;                      ///< the larger of both results
  std::vector<std::string> differences;  ///< of the machines, as sentences
};

Compared compare_results(const Result& before, const Result& after);

/// For a terminal or a file.
std::string compared_text(const Compared& compared);

}  // namespace forkscope::cost
