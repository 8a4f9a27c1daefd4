// What a scenario says of itself: why it hangs, which methods it has, and what each must produce.
//
// The description in the program is the only source: `SCENARIO --describe` prints it as JSON, and
// the runner, the tests and the documentation read it from there.
// Plain data, immutable after construction.
#pragma once

#include <compare>
#include <string>
#include <vector>

namespace forkscope::scenario {

enum class End {
  kCompletes,  ///< every worker finishes
  kDeadlock,   ///< the first worker hangs and is killed by the parent
  kDies,       ///< the first worker is ended by Method::death
};

struct ExpectedFinding {
  std::string kind;      ///< as in reports: orphaned-lock, lost-thread, ...
  std::string severity;  ///< deadlock | latent | hazard | note
  auto operator<=>(const ExpectedFinding&) const = default;
};

/// What `forkscope attach` must answer of the worker that hangs in a program that was started
/// without forkscope.
struct FromOutside {
  std::string answer;  ///< deadlock | probable | stuck | waiting | ...; empty: it does not hang
  std::string kind;    ///< of the finding, if there is one
  bool operator==(const FromOutside&) const = default;
};

/// What must be found: every promised finding, and no other deadlock or latent one. Hazards and
/// notes that are not promised may be there, but not in a silent method, a correct program about
/// which a diagnostic tool must say nothing.
struct Method {
  std::string name;
  End end;
  std::vector<ExpectedFinding> findings;
  std::string note;  ///< what differs from the other methods, in a sentence
  bool silent = false;
  std::string death = {};  ///< of kDies: the signal ("SIGABRT") or the status ("exit 127")
  FromOutside outside = {};
  /// The method of which this is the same with another timing: one that passes.
  std::string timing_of = {};
  std::vector<std::string> run_options = {};  ///< what `forkscope run` needs to find it

  Method seen_from_outside(std::string answer, std::string kind = {}) &&;
  Method as_timing_of(std::string method) &&;
  Method and_finds(std::string kind, std::string severity) &&;
  Method with_run_option(std::string option) &&;
};

// The sorts of methods there are. `kind` is that of a finding with the severity `deadlock`, which
// `forkscope attach` makes as well, unless seen_from_outside() says what it answers instead.
Method hangs(std::string name, std::string kind, std::string note);
Method dies(std::string name, std::string death, std::string kind, std::string note);
Method completes(std::string name, std::vector<ExpectedFinding> findings, std::string note);
Method silent(std::string name, std::string note);
/// Waits for ever for something that is no deadlock: who could end the wait is alive.
Method waits(std::string name, std::vector<ExpectedFinding> findings, std::string note);
/// Hangs waiting for a lost thread, with a lock taken on the way that the thread uses, too.
Method waits_beside_a_lock(std::string name, std::string note);
/// Completes, by luck: a lock that another thread uses was free at the fork. The finding is a
/// `latent` one of kind orphaned-lock.
Method lucky(std::string name, std::string note);

struct Description {
  std::string name;
  std::string title;
  std::string cause;      ///< what goes wrong, for somebody whose program hangs
  std::string mechanism;  ///< how this program brings it about every time
  std::string cure;
  std::string source;  ///< path in the source tree
  std::vector<Method> methods;
};

/// nullptr when there is no such method.
const Method* find_method(const Description& description, const std::string& name);

/// One JSON document, indented by 2, ends with a newline.
std::string to_json(const Description& description);

/// Reads what to_json() wrote. Throws std::runtime_error with one sentence when it is not that.
Description parse_description(const std::string& json);

}  // namespace forkscope::scenario
