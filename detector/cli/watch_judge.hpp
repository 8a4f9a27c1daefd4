// Judges processes for the watchdog, in a thread of its own: a whole look takes milliseconds,
// naming code may take seconds, and the watchdog's clock must not wait for either.
//
// Thread-safe, but for start() and stop(), which belong to one thread.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/proven_hangs.hpp"
#include "detector/cli/watch_spin.hpp"
#include "detector/record/options.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope::cli {

class WatchJudge {
 public:
  struct Settings {
    OnDeadlock on_deadlock = OnDeadlock::kReport;
    /// Called from the judge's thread with all findings after they changed; several changes close
    /// to each other are one.
    std::function<void(const std::vector<WatchedFinding>&)> changed;
    Namer* namer = nullptr;  ///< shared with other threads; must outlive the judge
  };

  /// What came of a question.
  struct Answered {
    Process process;
    bool spin = false;   ///< it was asked whether it spins
    bool final = false;  ///< nothing to look for again until it runs
    bool found = false;  ///< it has a finding now
  };

  WatchJudge(const ArenaFile& arena, Settings settings);
  ~WatchJudge();

  void start();  ///< throws Failure
  /// Ends the thread when it has answered what was asked, or after two seconds.
  void stop();

  /// It, or a child of it, may be asked about soon: reads what takes long to read, the symbols of
  /// the code it is in. When there is nothing else to do; once for each program, and once for its
  /// copies.
  void prepare(const Process& process, bool forked);
  /// Its first thread has slept for a while: is it deadlocked?
  void ask(const Process& process);
  /// It never sleeps: does it spin for a lost thread?
  void ask_spin(const Process& process);
  /// It had a finding, and now does something else.
  void went_on(const Process& process);

  std::vector<Answered> take_answers();

 private:
  using Clock = std::chrono::steady_clock;
  enum class Question { kPrepare, kDeadlock, kSpin, kWentOn };
  struct Job {
    Question question;
    Process process;
    bool forked = false;
  };
  struct Patience {  ///< waits for the second look
    Clock::time_point due;
    Process process;
    Evidence evidence;
  };
  struct Sampling {
    Clock::time_point due;
    Process process;
    std::unique_ptr<SpinSampler> sampler;
  };
  void add(Question question, const Process& process);
  void tell_changes(bool now);
  std::vector<WatchedFinding> findings();
  void run();
  bool work_on_due();
  std::optional<Clock::time_point> next_due() const;
  void answer(const Job& job);
  void look_ahead(const Job& job);
  void judge(const Process& process);
  bool judged_like_another(const Process& process);
  void conclude(const Process& process, const Evidence& evidence, Diagnosis diagnosis);
  void judge_spin_of(const Process& process);
  void take_back(const Process& process);
  void reply(const Process& process, bool spin, bool final, bool found);
  void store(const Process& process, Finding finding);
  void act(const Process& process, Finding& finding) const;
  bool library_has_finding(pid_t pid) const;

  const ArenaFile& arena_;
  const Settings settings_;
  Namer& namer_;

  // Of the judge's thread.
  std::list<Patience> patience_;
  std::list<Sampling> sampling_;
  ProvenHangs proven_;
  std::set<std::string> prepared_;  ///< programs, and programs of copies
  bool untold_ = false;
  Clock::time_point told_{};

  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  std::deque<Job> jobs_;
  std::vector<Answered> answers_;
  std::map<pid_t, std::pair<std::uint64_t, WatchedFinding>> findings_;  ///< with the start time
  std::uint64_t count_ = 0;
  bool stopping_ = false;
  Clock::time_point stop_by_;
  std::thread thread_;
};

}  // namespace forkscope::cli
