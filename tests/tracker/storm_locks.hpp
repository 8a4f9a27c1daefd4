// The storm's locks without an owner word (storm_test.cpp has the mutexes), and what is true of
// them at a fork.
//
// Each thread writes down what it has, around its calls: `busy` with a lock from before the call
// until after it is written down. As fork gives the child a prefix of every thread's stores, the
// child knows of every thread which locks it has for certain, and of at most one lock that it was
// just taking or giving back. One writer each; compare() is for a forked child.
#pragma once

#include <pthread.h>
#include <semaphore.h>

#include <atomic>
#include <cstdint>
#include <random>
#include <vector>

#include "detector/tracker/fork_events.hpp"

namespace forkscope::test {

class StormLocks {
 public:
  static constexpr int kThreads = 5;  ///< the storm's, and the one that forks
  static constexpr int kOfAKind = 20;
  enum class Kind { kReading, kWriting, kSpin, kSemaphore, kCount };
  struct Taken {
    Kind kind;
    int index;
  };

  struct Totals {  // in shared memory: children add to it
    std::atomic<std::uint64_t> held, readers, in_transit, missing, extra, too_many;
  };

  StormLocks();
  ~StormLocks();

  /// Takes up to `most` locks in ascending order (no deadlock among threads), some without waiting,
  /// and all of them so with `hasty`.
  std::vector<Taken> take_some(int thread, unsigned most, bool hasty, std::minstd_rand& random);
  /// In any order.
  void give_back(int thread, std::vector<Taken>& taken, std::minstd_rand& random);

  /// In the child: what the threads wrote down, the locks' words, and the tracker's list. `tids` of
  /// the threads, in the parent.
  void compare(const ForkHeld& answer, const std::int32_t (&tids)[kThreads], Totals& totals) const;

 private:
  bool take(Kind kind, int index, bool wait);
  void give(Kind kind, int index);
  const void* address(Kind kind, int index) const;

  pthread_rwlock_t rwlocks_[kOfAKind];
  pthread_spinlock_t spins_[kOfAKind];
  sem_t semaphores_[kOfAKind];
  struct Written {
    std::atomic<int> has[int(Kind::kCount)][kOfAKind] = {};
    std::atomic<const void*> busy{nullptr};
  };
  Written written_[kThreads];
};

}  // namespace forkscope::test
