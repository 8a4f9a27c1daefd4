// What the words of a lock without an owner word say: whether anybody has it.
//
// Layouts of glibc for x86-64 (bits/struct_rwlock.h, internaltypes.h, stdio-lock.h) and of the
// Itanium C++ ABI as libstdc++ and libc++abi implement it. Read without synchronisation, as
// mutex_words.hpp. The memory must be readable. Async-signal-safe.
#pragma once

#include <pthread.h>
#include <stdio.h>

#include <cstddef>
#include <cstdint>

#include "detector/record/glibc_condition.hpp"
#include "detector/record/record.hpp"

namespace forkscope::lock_words {

template <typename T>
T load(const void* address, std::size_t offset = 0) {
  T value;
  __atomic_load(reinterpret_cast<const T*>(static_cast<const char*>(address) + offset), &value,
                __ATOMIC_RELAXED);
  return value;
}

/// __readers: bit 0 is the phase, bit 1 set while a writer has it, then the count of readers.
inline bool rwlock_taken(const void* lock) {
  auto readers = load<unsigned>(&static_cast<const pthread_rwlock_t*>(lock)->__data.__readers);
  return (readers & 2) != 0 || (readers >> 3) != 0;
}
/// TID of the writer that has it, or 0.
inline std::int32_t rwlock_writer(const void* lock) {
  return load<int>(&static_cast<const pthread_rwlock_t*>(lock)->__data.__cur_writer);
}

/// 1 is free; pthread_spin_lock counts down (sysdeps/x86_64/nptl/pthread_spin_lock.S).
inline bool spin_taken(const void* lock) { return load<int>(lock) <= 0; }

/// struct new_sem: the value is the low half of the first word.
inline std::uint32_t semaphore_value(const void* lock) { return load<std::uint32_t>(lock); }

/// Byte 0 is set when the variable is initialised, byte 1 while somebody is at it.
inline bool guard_taken(const void* lock) {
  return load<std::uint8_t>(lock) == 0 && load<std::uint8_t>(lock, 1) != 0;
}

/// Bit 0: in progress, bit 1: done (pthreadP.h, __PTHREAD_ONCE_INPROGRESS and _DONE).
inline bool once_taken(const void* lock) { return (load<int>(lock) & 3) == 1; }

struct FileLock {  // _IO_lock_t
  int lock;
  int count;
  const void* owner;  ///< pthread_self() of the thread that has it
};
inline const FileLock* file_lock(const void* stream) {
  return static_cast<const FileLock*>(
      static_cast<const void*>(static_cast<const FILE*>(stream)->_lock));
}
inline bool file_taken(const void* stream) {
  const FileLock* lock = file_lock(stream);
  return lock != nullptr && load<int>(&lock->lock) != 0;
}

/// struct pthread_barrier: arrivals, the round that is complete, how many make one. True when
/// another arrival would not complete the round.
inline bool barrier_waits(const void* barrier) {
  auto arrived = load<std::uint32_t>(barrier), round = load<std::uint32_t>(barrier, 4);
  auto count = load<std::uint32_t>(barrier, 8);
  auto is_shared = load<std::int32_t>(barrier, 12);
  return is_shared == 0 && arrived - round + 1 < count;
}

/// Whether some have arrived that have not left yet: pthread_barrier_destroy waits for those.
inline bool barrier_has_waiters(const void* barrier) {
  return load<std::uint32_t>(barrier, 16) != load<std::uint32_t>(barrier);
}

/// How the libc that runs lays out its condition variables; null when it is none of those known.
const ConditionLayout* condition_layout();
/// Initialised with PTHREAD_PROCESS_SHARED; also when that is not known.
bool condition_is_shared(const void* condition, const ConditionLayout* layout = condition_layout());
/// pthread_cond_destroy waits for them (nptl/pthread_cond_destroy.c).
bool condition_has_waiters(const void* condition,
                           const ConditionLayout* layout = condition_layout());
/// Whether pthread_cond_signal or _broadcast waits now: for the internal lock, or for waiters that
/// were woken to leave (__condvar_quiesce_and_switch_g1 in nptl/pthread_cond_common.c until 2.40).
bool condition_signal_blocks(const void* condition, bool broadcast,
                             const ConditionLayout* layout = condition_layout());

inline bool taken(const void* lock, record::LockType type) {
  switch (type) {
    case record::LockType::kRwlock:
      return rwlock_taken(lock);
    case record::LockType::kSpinlock:
      return spin_taken(lock);
    case record::LockType::kSemaphore:
      return semaphore_value(lock) == 0;
    case record::LockType::kStaticGuard:
      return guard_taken(lock);
    case record::LockType::kOnce:
      return once_taken(lock);
    case record::LockType::kFile:
      return file_taken(lock);
    case record::LockType::kCustom:
      return true;  // nobody can tell: who asks has a table that says so (custom_locks.hpp)
    default:
      return false;
  }
}

/// The same for a lock that may be freed or unmapped since: false where nothing can be read.
bool surely_taken(const void* lock, record::LockType type);

/// Bytes of it that can be read.
inline std::uint32_t size(record::LockType type) {
  switch (type) {
    case record::LockType::kSemaphore:
      return 16;
    case record::LockType::kCustom:
      return 1;
    case record::LockType::kStaticGuard:
      return 8;
    case record::LockType::kBarrier:
      return 20;
    case record::LockType::kSpinlock:
    case record::LockType::kOnce:
    case record::LockType::kFutex:
      return 4;
    default:
      return 40;
  }
}

}  // namespace forkscope::lock_words
