// Looks at the held tables of one process at random moments and counts what they show.
//
// The times between looks are exponential, so that no rhythm of the program can hide from them or
// attract them. One thread; the namer is used in result() only.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <optional>
#include <random>
#include <vector>

#include "detector/inspect/held_reader.hpp"
#include "detector/inspect/live_process.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/verdict/exposure.hpp"

namespace forkscope::cli {

class ExposureSampler {
 public:
  using Clock = std::chrono::steady_clock;
  struct Settings {
    std::optional<std::chrono::nanoseconds> time{};  ///< to look for; nothing: to the end
    std::chrono::nanoseconds interval = std::chrono::milliseconds(1);  ///< mean, at least
    /// The program was started for this: its library is awaited, at each of its execs.
    bool own = false;
  };
  ExposureSampler(pid_t pid, Settings settings);

  /// Finds the tables. With `own` waits for them, while `stop` is not readable and the process
  /// runs. Throws Failure when they cannot be had.
  void start(int stop);
  /// Waits for the next moment and looks. False: it is over, facts().end says why.
  bool step(int stop);

  /// The `most` probable locks with names.
  Exposure result(Namer& namer, std::size_t most = SIZE_MAX);

 private:
  enum class Event { kTime, kStop, kEnd };
  Event wait_until(Clock::time_point moment, int stop) const;
  bool find();
  bool ended(int stop) const;
  void refresh();
  void leave_out_shared();
  void learn(const std::vector<HeldNow>& held);
  HolderThread thread(std::int32_t tid) const;
  void choose_interval();
  bool over(const char* why);

  const pid_t pid_;
  const Settings settings_;
  UniqueFd pidfd_;  ///< none on kernels before 5.3: the end is then noticed by the reads
  std::unique_ptr<LiveProcess> process_;
  ProcessEvidence seen_;
  std::unique_ptr<HeldReader> reader_;
  ExposureCounter counter_;
  ExposureFacts facts_;
  std::mt19937_64 random_;
  std::chrono::duration<double> interval_;
  double looking_ = 0;  ///< seconds of processor time for looks alone, without stacks
  Clock::time_point first_, next_, refreshed_;
  std::vector<HeldNow> held_;
};

}  // namespace forkscope::cli
