// Tells of a deadlock at once where to name it fully takes long: reading the debug information of a
// large library takes seconds, its symbol tables tell the functions in a moment. A thread of its own
// prints headlines of what the reporter has not told after a third of a second.
//
// Thread-safe, but for start() and stop(), which belong to one thread.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <set>
#include <thread>

#include "detector/verdict/report.hpp"

namespace forkscope::cli {

class Headlines {
 public:
  struct Settings {
    /// The findings that hang, named by this namer.
    std::function<std::vector<Finding>(Namer&)> look;
    std::function<void(const Finding&)> print;
  };

  explicit Headlines(Settings settings) : settings_(std::move(settings)) {}
  ~Headlines() { stop(); }

  void start();
  void stop();

  /// There may be something to tell, as of now.
  void expect();
  /// The number of calls of expect() so far, and that what they were about is told.
  std::uint64_t expected() const;
  void told(std::uint64_t expected);

  /// Whether the headline of a finding was printed. If not, it will not be: the caller prints it.
  bool claim(const Finding& finding);

 private:
  using Clock = std::chrono::steady_clock;
  void run();
  void look();

  const Settings settings_;
  mutable std::mutex mutex_;  ///< of what follows
  std::condition_variable changed_;
  bool stopping_ = false;
  std::uint64_t expected_ = 0, told_ = 0;
  Clock::time_point since_{};         ///< of the first that is not told
  std::set<std::uint64_t> headlines_, claimed_;  ///< by record
  std::thread thread_;
};

}  // namespace forkscope::cli
