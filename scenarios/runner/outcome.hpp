// From what a run of a scenario left behind to a verdict: did it end, and was it diagnosed, as its
// description promises? Pure functions, no I/O: unit-tested with recorded texts.
#pragma once

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "scenarios/runner/processes.hpp"
#include "scenarios/support/description.hpp"

namespace forkscope::scenario {

enum class How {
  kBare,
  kShim,  ///< under `forkscope run`
};

struct FoundKind {
  ExpectedFinding finding;
  unsigned long long count = 1;  ///< children it was made for
};

/// One run.
struct Outcome {
  std::string end;  ///< completes, deadlock, dies SIGABRT, or what else happened
  std::vector<double> ready_ms, done_ms;        ///< of each worker that came so far
  std::optional<std::vector<FoundKind>> found;  ///< of all severities; nullopt when bare
};

/// `report` is the JSON report of a run under the shim. Throws std::runtime_error with one sentence
/// when it is not one.
Outcome read_outcome(const Result& result, const std::optional<std::string>& report);

/// What differs from the promise, as a clause for people; empty when nothing does.
std::string difference(const Outcome& outcome, const Method& promised);

/// The findings that count against the promise: deadlock and latent ones always, hazards and notes
/// when they are promised or when the method must be silent. Empty when bare.
std::set<ExpectedFinding> judged(const Outcome& outcome, const Method& promised);

/// As Outcome::end has it.
std::string end_text(const Method& method);
/// "orphaned-lock", "latent orphaned-lock, lost-thread", "hazard shared-descriptor", "none".
std::string findings_text(const std::set<ExpectedFinding>& findings);

/// All runs of one scenario by one method in one way.
struct Case {
  std::string scenario;
  Method promised;
  How how;
  std::vector<Outcome> outcomes;

  bool agrees() const;
};

/// Middle of the values; nullopt when there are none.
std::optional<double> median(std::vector<double> values);

}  // namespace forkscope::scenario
