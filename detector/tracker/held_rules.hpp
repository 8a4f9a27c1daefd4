// When an entry of a thread's table means that the thread has the lock: the lock's own words
// decide.
//
// The child of a fork applies these to frozen memory, a reader outside to copies of the words that
// it took at one moment. Pure; async-signal-safe.
#pragma once

#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/mutex_words.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope {

inline bool held_by(const MutexWords& words, std::int32_t tid) {
  return words.owner() == tid && words.plausible();
}

/// For a lock without owner word that is taken, and that the table of `tid` has (Hold::kHeld):
/// whether `words`, its memory or a copy, do not contradict. `waits_for` is what the thread waits
/// for.
inline bool words_agree(const Recorded& one, const void* words, std::int32_t tid,
                        const void* waits_for) {
  if (one.type == record::LockType::kRwlock && (one.flags & record::kLockReader) == 0)
    return lock_words::rwlock_writer(words) == tid;
  // Who waits again is a consumer: nothing of it is missing.
  if (one.type == record::LockType::kSemaphore) return waits_for != one.lock;
  return true;
}

}  // namespace forkscope
