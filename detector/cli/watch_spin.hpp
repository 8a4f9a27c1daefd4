// Samples the first thread of a process that never sleeps, to tell whether it spins for a thread
// that is not there (verdict/outside/spin.hpp). Each sample stops that thread for as long as it
// takes to copy registers and stack, and only when /proc says that it is on a processor or ready
// for it: then there is no system call a stop could disturb. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "detector/inspect/live_process.hpp"
#include "detector/inspect/walk_stack.hpp"
#include "detector/verdict/outside/spin.hpp"

namespace forkscope::cli {

constexpr std::chrono::milliseconds kSpinSamplePause{50};

class SpinSampler {
 public:
  /// Null when the process is not one that could spin for a lost thread.
  static std::unique_ptr<SpinSampler> start(pid_t pid, Namer& namer);

  /// One more sample. False when there is nothing more to come: enough to tell, or too many that
  /// tell nothing, or the process sleeps or cannot be stopped. Wait kSpinSamplePause between two.
  bool sample();
  /// What the samples say.
  const std::optional<Finding>& finding() const { return finding_; }
  pid_t pid() const { return evidence_.process.pid; }
  std::uint64_t process_start() const { return evidence_.process.start; }

 private:
  SpinSampler(Evidence evidence, std::unique_ptr<LiveProcess> live, Namer& namer);
  bool runs() const;

  Evidence evidence_;
  std::unique_ptr<LiveProcess> live_;
  Namer& namer_;
  StackWalker walker_;
  std::vector<SpinSample> samples_;
  std::optional<Finding> finding_;
  int asleep_ = 0, missed_ = 0;
};

}  // namespace forkscope::cli
