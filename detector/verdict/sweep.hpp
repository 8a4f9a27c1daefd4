// `forkscope sweep`: which runs are to be made, and what each says of its lock.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// One run: the fork is made while another thread has this lock.
struct SweepRow {
  std::string id;    ///< "001": the name of its session in the sweep's folder
  std::string spec;  ///< for --inject
  std::string lock;  ///< words that are the same in every run
  bool suspected = false;  ///< in the learned run a child took it: a latent finding
  std::string also{};  ///< a second injection, without which the first would hardly come to pass
};

enum class SweepResult {
  kDeadlocked,  ///< the child that was forked then waits for it for ever, or the fork itself
  kElsewhere,   ///< something deadlocked, but not at this lock
  kSurvived,    ///< the child never waits for it
  kProtected,   ///< somebody sees to it that no child inherits it taken
  kNotReached,  ///< no fork happened while another thread had it
  kFailed,      ///< the run says nothing
  kMissing,     ///< the run has not been made, or not to its end
};
/// "deadlocked", "deadlocked elsewhere", "survived", ...
std::string sweep_result_word(SweepResult result);

struct SweepVerdict {
  SweepResult result = SweepResult::kMissing;
  std::string detail;       ///< a clause; empty when the word says all
  std::string protector;    ///< of kProtected: function and module of the handler
  std::string fingerprint;  ///< of the finding that decided
  std::string site;         ///< its words: site_words()
};

/// What the learned run and one run of the sweep did, as far as the verdict needs it.
struct SweepEnd {
  std::optional<int> exit, signal;
  bool timed_out = false;
};
SweepEnd end_of(const Report& report);

/// The runs to make, those of suspected locks first.
std::vector<SweepRow> sweep_plan(const Report& learned);

/// The locks that no run is made for, because nothing names them in another run.
std::vector<std::string> untried_locks(const Report& learned);

/// Of all forks of a run the one that tells most: where the injection came to something.
/// Null when nothing was injected.
const InjectedReport* decisive_injection(const Report& run);

/// Its lock, or libc's function, in words that are the same in every run.
std::string injected_words(const InjectedReport& injected);

/// What a finished run says. `learned` is how the program ends when nothing is forced; nothing when
/// that is not known.
SweepVerdict sweep_verdict(const Report& run, const std::optional<SweepEnd>& learned);

struct SweepCounts {
  std::size_t deadlocked = 0, elsewhere = 0, survived = 0, protected_ = 0, not_reached = 0,
              failed = 0, missing = 0;
};

/// All that is printed: docs/report-schema.md.
struct SweepTable {
  struct Row {
    SweepRow row;
    SweepVerdict verdict;
    std::string session;  ///< folder, empty when there is none
    std::string command;  ///< line for a shell that makes the run again
    std::optional<SweepEnd> end;
  };
  std::vector<std::string> command;
  std::string folder;             ///< empty when the sessions came from several
  std::optional<SweepEnd> learned;     ///< nothing: not known
  std::uint64_t learned_deadlocks = 0;  ///< findings of the learned run, where nothing was forced
  std::vector<std::string> untried{};   ///< as untried_locks()
  std::vector<Row> rows;
};
SweepCounts counts_of(const SweepTable& table);

}  // namespace forkscope
