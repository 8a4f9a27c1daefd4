// Takes the looks that observed processes ask for when they write a finding (inspect/first_look),
// in a thread of its own: a child that --on-deadlock ends waits for its look, and what one cost it
// is what it waited. Thread-safe, but for start() and stop(), which belong to one thread.
#pragma once

#include <atomic>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "detector/cli/arena_file.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope::cli {

class FirstLooks {
 public:
  /// `woken` is called from the thread whenever something was found or looked at.
  FirstLooks(const ArenaFile& arena, std::function<void()> woken);
  ~FirstLooks();

  void start();
  /// Answers whoever waits, and ends the thread.
  void stop();

  std::vector<FirstLook> taken() const;

 private:
  void run();
  void answer(const ArenaFile::Look& asked);

  const ArenaFile& arena_;
  const std::function<void()> woken_;
  std::atomic<bool> stopping_{false};
  mutable std::mutex mutex_;  ///< of taken_
  std::vector<FirstLook> taken_;
  std::thread thread_;
};

}  // namespace forkscope::cli
