// Says what a session found: deadlocks while the program still runs, everything at its end.
//
// Symbolising may take seconds: a headline does not wait for it (headlines.hpp). The loop that passes signals on must not wait for it, so the
// looks while the program runs are made by a thread. It owns what was printed until stop() joined
// it; finish() then runs in the caller's thread. No other function may run beside each other.
#pragma once

#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/headlines.hpp"
#include "detector/cli/noise_options.hpp"
#include "detector/cli/processes.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope::cli {

/// Whether a finding is printed in full: deadlocks, also probable ones, and latent ones always if
/// no baseline accepts them, the rest when asked for.
bool printed_in_full(const Finding& finding, bool verbose);

/// parse, judge and name: one look at an arena.
Report make_report(const Session& session, const RunFacts& facts, Namer& namer,
                   const NoiseFilter& noise = {});

class Reporter {
 public:
  struct Settings {
    std::vector<std::string> command;
    TextOptions text;
    bool quiet = false;
    int out = STDERR_FILENO;  ///< where findings and the summary go
    bool timeout = false;  ///< --timeout was given: a hung program ends without advice
    /// What the watchdog found so far; thread-safe. Empty: there is none.
    std::function<std::vector<WatchedFinding>()> watched{};
    /// What was seen of processes the moment they wrote their findings; thread-safe.
    std::function<std::vector<FirstLook>()> looks{};
    const NoiseFilter* noise = nullptr;  ///< must outlive the reporter
    Namer* namer = nullptr;              ///< shared with other threads; must outlive the reporter
    bool ends_hung = false;  ///< --on-deadlock ends proven ones: to advise it would help nobody
  };

  Reporter(const ArenaFile& arena, Settings settings);
  ~Reporter();

  /// Starts the thread. Throws Failure.
  void start();
  /// Asks for a look soon. Returns at once.
  void look();
  /// The same, for what must not wait for the pause after an earlier look.
  void look_at_once();
  /// Ends the thread after the look it is at.
  void stop();
  /// The last look, after stop(): prints what is new and the summary, and fills in facts.running.
  /// Throws std::runtime_error when the records cannot be read. `namer` names what it tells.
  Report finish(RunFacts& facts, Namer& namer);

 private:
  using Clock = std::chrono::steady_clock;

  void run();
  void look_now();
  RunFacts facts_now(const Session& session) const;
  std::vector<Finding> hangs(Namer& namer);
  bool tells_of_hang(const Finding& finding) const;
  Report report_of(const Session& session, const RunFacts& facts, Namer& namer);
  void print_deadlocks(const Report& report, const RunFacts& facts);
  void print(const Finding& finding);
  bool is_new(const Finding& finding) const;
  bool is_settled(const Finding& finding, const RunFacts& facts);
  bool lasts_longer_than(const Finding& finding, std::chrono::milliseconds patience);
  void advise();

  const ArenaFile& arena_;
  const Settings settings_;

  std::mutex mutex_;  ///< of the next four
  std::condition_variable changed_;
  bool wanted_ = false;
  bool urgent_ = false;
  bool stopping_ = false;

  std::set<std::uint64_t> printed_;                      ///< record ids
  std::map<std::uint64_t, Clock::time_point> awaiting_;  ///< first seen unsettled
  bool look_again_ = false;
  std::optional<Process> blocked_;  ///< a child that was reported as blocked
  Clock::time_point blocked_since_;
  bool advised_ = false;
  Headlines headlines_;
  std::thread thread_;
};

}  // namespace forkscope::cli
