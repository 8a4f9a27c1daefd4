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
  kShim,      ///< under `forkscope run`
  kLucky,     ///< the same, of a method that is another's with a timing that passes
  kAttached,  ///< bare, with `forkscope attach` at the worker that hangs
};

/// "bare", "shim", "lucky", "attached".
std::string how_text(How how);
/// Every way, in the order above.
const std::vector<How>& all_ways();
/// That a method is run this way: only what hangs is attached to, and what passes by its timing
/// alone is run as kLucky instead of kShim.
bool applies(How how, const Method& method);

struct FoundKind {
  ExpectedFinding finding;
  unsigned long long count = 1;  ///< children it was made for
};

/// One run.
struct Outcome {
  std::string end;  ///< completes, deadlock, dies SIGABRT, skipped, or what else happened
  std::vector<double> ready_ms, done_ms;             ///< of each worker that came so far
  std::optional<std::vector<FoundKind>> found = {};  ///< of all severities; nullopt when bare
  std::optional<FromOutside> attached = {};          ///< what `forkscope attach` answered, if asked
  double seconds = 0;

  bool skipped() const { return end == "skipped"; }
};

/// `report` is the JSON report of a run under the shim. Throws std::runtime_error with one sentence
/// when it is not one.
Outcome read_outcome(const Result& result, const std::optional<std::string>& report);

/// What the JSON report of `forkscope attach` answers. Throws as read_outcome() does.
FromOutside read_answer(const std::string& report);

/// What differs from the promise, as a clause for people; empty when nothing does, and for a run
/// that was skipped.
std::string difference(const Outcome& outcome, const Method& promised, How how);

/// The findings that count against the promise: deadlock and latent ones always, hazards and notes
/// when they are promised or when the method must be silent. Empty when bare.
std::set<ExpectedFinding> judged(const Outcome& outcome, const Method& promised);

/// As Outcome::end has it.
std::string end_text(const Method& method);
/// "orphaned-lock", "latent orphaned-lock, lost-thread", "hazard shared-descriptor", "none".
std::string findings_text(const std::set<ExpectedFinding>& findings);
/// "deadlock lost-thread", "stuck".
std::string answer_text(const FromOutside& answer);
/// What the promise comes to when the method is run this way: "deadlock, orphaned-lock".
std::string promise_text(const Method& method, How how);
/// The same of a run.
std::string seen_text(const Outcome& outcome, const Method& promised);

/// All runs of one scenario by one method in one way.
struct Case {
  std::string scenario;
  Method promised;
  How how;
  std::vector<Outcome> outcomes;

  bool agrees() const;
  bool skipped() const;  ///< all runs
};

/// Middle of the values; nullopt when there are none.
std::optional<double> median(std::vector<double> values);

}  // namespace forkscope::scenario
