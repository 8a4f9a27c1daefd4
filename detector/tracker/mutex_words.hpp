// What the words of a glibc mutex say (nptl: struct __pthread_mutex_s, pthreadP.h).
//
// Read without synchronisation: in a forked child the words of threads that were not copied are
// frozen, elsewhere the answer is as old as the load. Async-signal-safe.
#pragma once

#include <pthread.h>

#include "detector/record/record.hpp"

namespace forkscope {

class MutexWords {
 public:
  explicit MutexWords(const void* mutex)
      : data_(&static_cast<const pthread_mutex_t*>(mutex)->__data) {}

  int lock_word() const { return __atomic_load_n(&data_->__lock, __ATOMIC_RELAXED); }
  int owner() const { return __atomic_load_n(&data_->__owner, __ATOMIC_RELAXED); }
  const int* owner_address() const { return &data_->__owner; }
  unsigned count() const { return __atomic_load_n(&data_->__count, __ATOMIC_RELAXED); }
  int kind() const { return __atomic_load_n(&data_->__kind, __ATOMIC_RELAXED); }

  bool recursive() const { return (kind() & kTypeMask) == PTHREAD_MUTEX_RECURSIVE; }
  /// Recursive or errorcheck: a lock by the owner is not taken again.
  bool checks_owner() const { return ((kind() + 1) & 2) != 0; }
  /// All whose unlock is refused to a thread with another TID than the owner word's.
  bool compares_owner() const { return checks_owner() || (kind() & (kRobustBit | kPiBit)) != 0; }
  bool pshared() const { return (kind() & kPsharedBit) != 0; }
  /// The kind glibc writes in pthread_mutex_destroy is -1; other stray bits mean "not a mutex".
  bool plausible() const { return (kind() & ~kKnownBits) == 0; }

  record::LockType type() const {
    switch (kind() & kTypeMask) {
      case PTHREAD_MUTEX_RECURSIVE:
        return record::LockType::kMutexRecursive;
      case PTHREAD_MUTEX_ERRORCHECK:
        return record::LockType::kMutexErrorcheck;
      case kAdaptive:
        return record::LockType::kMutexAdaptive;
      default:
        return record::LockType::kMutexNormal;
    }
  }
  std::uint8_t flags() const {
    int bits = kind();
    return std::uint8_t(
        ((bits & kRobustBit) ? record::kLockRobust : 0) | ((bits & kPiBit) ? record::kLockPi : 0) |
        ((bits & kPpBit) ? record::kLockPp : 0) |
        // glibc sets it in every robust one (pthread_mutex_init.c).
        ((bits & (kPsharedBit | kRobustBit)) == kPsharedBit ? record::kLockPshared : 0));
  }

 private:
  static constexpr int kTypeMask = 3, kAdaptive = 3;
  static constexpr int kRobustBit = 16, kPiBit = 32, kPpBit = 64, kPsharedBit = 128;
  // 0x7f and pshared, lock elision (256, 512), and the priority ceiling of PP mutexes is elsewhere.
  static constexpr int kKnownBits = 0x3ff;

  const __pthread_mutex_s* data_;
};

}  // namespace forkscope
