// The folder of a sweep, which is all its state: what was learned, and a session for each run.
//
//   DIR/sweep.json      the plan, written once when the program has been learned
//   DIR/learn           session of the learned run; DIR/learn.out, .err: what it printed
//   DIR/runs/001        session of a run; DIR/runs/001.out, .err
//
// A run is over when its session says that its program has ended; what else is there is of a run
// that was interrupted, and is made again. Not thread-safe; one process at a time has the folder.
#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/sweep.hpp"

namespace forkscope::cli {

struct SweepPlan {
  std::vector<std::string> command;
  SweepEnd learned;
  std::uint64_t deadlocks = 0;  ///< findings of the learned run
  std::chrono::milliseconds limit{0};  ///< of each run
  std::uint64_t seed = 1;
  std::vector<SweepRow> rows;
  std::vector<std::string> untried;  ///< as untried_locks()
};

/// DIR/sweep.json; nothing when there is none. Throws Failure when it cannot be understood.
std::optional<SweepPlan> read_sweep_plan(const std::string& folder);

class SweepFolder {
 public:
  /// `wanted` empty: a new folder below TMPDIR. Throws Failure, also when another sweep has it.
  explicit SweepFolder(const std::string& wanted);

  const std::string& path() const { return path_; }
  std::string learn() const { return path_ + "/learn"; }
  std::string run(const SweepRow& row) const { return path_ + "/runs/" + row.id; }
  void write(const SweepPlan& plan) const;

 private:
  std::string path_;
  UniqueFd lock_;
};

/// Whether the run of this session is over.
bool is_over(const std::string& session);
/// Removes what an interrupted run left.
void remove_session(const std::string& session);

}  // namespace forkscope::cli
