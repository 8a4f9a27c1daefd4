// Looks at the threads of a process again and again, for seconds: is one of them in an endless loop
// of waits with a time limit, or of naps? Nothing is stopped; a look costs three reads of /proc for
// each thread. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <vector>

#include "detector/inspect/live_process.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// Wait so long between two looks.
constexpr std::chrono::milliseconds kRoundsPause{40};

/// Whether such looks could tell more: it was forked, left threads behind, and a thread of it sleeps
/// for a limited time, or was met awake.
bool may_go_round(const Evidence& evidence);

class RoundsSampler {
 public:
  /// Null when the process is gone.
  static std::unique_ptr<RoundsSampler> start(const Evidence& evidence);

  /// One more look. False when there is nothing more to come: enough rounds were seen, none will be
  /// in time, or the process is gone.
  bool look();
  /// Looks as a whole once more, and adds the rounds. Nothing when the process is gone.
  std::optional<Evidence> evidence(Namer& namer) const;
  pid_t pid() const { return live_->pid(); }

 private:
  struct Seen {
    Rounds rounds;
    std::uint64_t first_turns = 0, first_ran = 0, word = 0;
    bool known = false;
  };
  RoundsSampler(std::unique_ptr<LiveProcess> live, Abi abi) : live_(std::move(live)), abi_(abi) {}
  bool look_at(Seen& seen);
  bool sleeps_mostly() const;
  struct Uses {
    std::uint64_t reads = 0, bytes = 0, writes = 0;
    bool operator==(const Uses&) const = default;
  };
  Uses descriptor_uses() const;
  bool are_of_library(const Uses& now, const ProcessEvidence& process) const;

  std::unique_ptr<LiveProcess> live_;
  const Abi abi_;
  std::vector<Seen> seen_;
  std::chrono::steady_clock::time_point begin_ = std::chrono::steady_clock::now();
  Uses uses_;
  int looks_ = 0;
};

}  // namespace forkscope
