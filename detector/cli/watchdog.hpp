// The watchdog of `forkscope run`: follows every process of the program's tree and has those looked
// at whose hang the preload library cannot see: libc's own locks, libgomp, a pool that was not
// copied, a loop that waits.
//
// Cost decides the design. A process that sleeps costs one read of /proc per round
// (watched_process) and is looked at once, when its first thread has slept for a part of a round in
// a wait that nothing but another thread ends; then not again until it has run. Where a look was in
// vain, the next one at the same place waits longer each time. Rounds become rarer while nothing
// runs and nothing forks.
//
// start(), watch() and stop() belong to one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/watch_judge.hpp"
#include "detector/cli/watched_process.hpp"

namespace forkscope::cli {

class Watchdog {
 public:
  struct Settings {
    std::chrono::milliseconds interval{100};
    WatchJudge::Settings judge;
  };

  Watchdog(const ArenaFile& arena, Settings settings);
  ~Watchdog();

  /// Starts the threads, which wait for a program. Throws Failure.
  void start();
  /// `program` was forked.
  void watch(pid_t program);
  /// What was asked is still answered, for two seconds at most.
  void stop();

 private:
  using Clock = std::chrono::steady_clock;

  struct Entry {
    std::unique_ptr<WatchedProcess> process;
    Pulse pulse;
    bool searched = false;  ///< its children were looked for since it ran
    bool several = false;   ///< it had more threads than one then
    bool settled = false;   ///< nothing to ask until it runs
    bool asked = false;     ///< the judge has not answered yet
    bool prepared = false;  ///< the judge was told that it may be asked
    // Looks in vain at a place where it has been before come later and later.
    std::vector<Place> places;
    Place asked_at;
    bool waits_out = false;
    int in_vain = 0;
    Clock::time_point not_before{};
    // With a finding: in how many rounds it has been seen elsewhere.
    std::optional<Place> found_at;
    int elsewhere = 0;
    // The stretch in which it may turn out never to sleep.
    Clock::time_point stretch_begin{};
    Pulse stretch_pulse;
    Clock::time_point no_spin_before{};
    int spin_in_vain = 0;
    bool spin_asked = false;
    bool spins = false;  ///< with a finding
  };

  void run();
  /// Whether anything happened.
  bool round();
  bool forked_since_round() const;
  bool poll(Entry& entry, const Pulse& pulse);
  void note_if_waiting(Entry& entry);
  void confirm();
  void consider(Entry& entry);
  void watch_for_return(Entry& entry);
  void watch_for_spin(Entry& entry);
  void take_answers();
  void add(pid_t pid);
  void look_for_children();
  void look_into_records();

  const ArenaFile& arena_;
  const Settings settings_;
  WatchJudge judge_;

  // Of the watchdog's thread.
  std::map<pid_t, Entry> entries_;
  std::vector<pid_t> unconfirmed_;  ///< ran, and now wait for ever: asleep still a moment later?
  std::chrono::milliseconds interval_;
  std::uint64_t used_ = 0, forks_ = 0;
  std::uint64_t used_by_records_ = 0;
  bool children_wanted_ = true;
  Clock::time_point children_not_before_{}, children_again_{}, records_not_before_{};

  std::mutex mutex_;
  std::condition_variable wake_;
  pid_t program_ = 0;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace forkscope::cli
