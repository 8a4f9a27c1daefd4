// The word by which a forking thread and the one that it waits for come to terms, and sleep.
//
//   idle -> looking -> taken -> idle
//              |         +-> needed, let go -> idle   (the forker takes the lock; wait=T is over)
//              +-> sampling -> idle                   (inject_inside only)
//              +-> idle                               (nobody came in time)
//
// Counted up with every fork, so that no two have the same value. Who has made it "changing" alone
// writes what goes with it. Lock-free but for those few instructions, async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "detector/tracker/inject.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::inject {

/// kLetGo: the limit of the holder's wait was over. kNeeded: the forker takes the lock itself.
/// kSampling: without a thread that could be kept.
enum Phase : std::uint32_t { kIdle, kChanging, kLooking, kTaken, kLetGo, kNeeded, kSampling };

class ForkWord {
 public:
  static Phase phase_of(std::uint32_t word) { return Phase(word % kPhases); }
  static std::uint32_t with(std::uint32_t word, Phase phase) {
    return word - word % kPhases + phase;
  }

  std::uint32_t load() const { return word_.load(std::memory_order_seq_cst); }
  /// Once nobody is changing it: they need a few instructions, unless preempted. After some time
  /// kChanging is given all the same: a signal handler may ask that interrupts who changes it.
  std::uint32_t settled() const {
    constexpr int kYields = 1000;
    std::uint32_t word = load();
    for (int i = 0; i < kYields && phase_of(word) == kChanging; ++i) {
      sys::call(SYS_sched_yield);
      word = load();
    }
    return word;
  }
  /// From `from` only; else `from` becomes what it is.
  bool change(std::uint32_t& from, Phase to) {
    return word_.compare_exchange_strong(from, with(from, to), std::memory_order_seq_cst);
  }
  /// The same, for the next fork. Gives its word in `from`.
  bool begin(std::uint32_t& from) {
    const std::uint32_t next = with(from + kPhases, kChanging);
    if (!word_.compare_exchange_strong(from, next, std::memory_order_seq_cst)) return false;
    from = next;
    return true;
  }
  /// By who has made it kChanging.
  void set(std::uint32_t word) {
    word_.store(word, std::memory_order_seq_cst);
    wake();
  }
  void wake() { wake_all(word_); }
  void wait(std::uint32_t word, std::uint64_t until) const { wait_while(word_, word, until); }

  /// The calling thread was taken, and stays until the fork is done, or so long.
  void stay(std::uint32_t word, std::uint64_t nanoseconds) {
    const std::uint64_t until = sys::now() + nanoseconds;
    while (load() == word) {
      if (sys::now() < until) {
        wait(word, until);
        continue;
      }
      std::uint32_t now = word;
      if (change(now, kLetGo)) wake();
    }
  }
  /// The fork is done. Gives what became of the thread that was taken.
  InjectResult finish() {
    std::uint32_t word = settled();
    while (!change(word, kIdle)) word = settled();  // its limit ends just now
    wake();
    if (phase_of(word) == kTaken) return InjectResult::kForced;
    return phase_of(word) == kNeeded ? InjectResult::kNeededByForker : InjectResult::kLetGo;
  }
  /// In a forked child, which has nobody to agree with.
  void reset() {
    word_.store(with(word_.load(std::memory_order_relaxed) + kPhases, kIdle),
                std::memory_order_relaxed);
  }

 private:
  static constexpr std::uint32_t kPhases = 8;
  std::atomic<std::uint32_t> word_{0};
};

}  // namespace forkscope::inject
