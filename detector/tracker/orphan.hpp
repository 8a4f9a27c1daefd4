// The verdict in a forked child: this call can never return, because of the fork.
//
// Asked before a lock or wait call when the thread is `guarded` (its process lost threads in a
// fork). Needs no timeout: a lock that a thread has which was not copied is never given up, and
// what only another thread can end never ends where nobody else lives. What was repaired (unlocked
// or re-initialised by an at-fork handler) is seen as such, for the words are read at the call.
//
//   meet_mutex      the owner word says who has it
//   meet_lock       no owner word: the lost threads' tables say it, and the words that it is taken
//   meet_semaphore  nobody owns it: who waited for it last is evidence
//   meet_condition  a wait on a condition variable      meet_wait  a wait at anything else
//   meet_waiters    pthread_cond_signal, _broadcast, _destroy, pthread_barrier_destroy: libc itself
//                   waits there, for waiters that were not copied
//
// Async-signal-safe; safe in a forked child.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

struct Met {
  std::uint64_t finding = 0;  ///< its id, or 0 when there is nothing to say
  bool wait_first = false;    ///< wait kPatience for the lock, then ask again with `waited`
  bool broken = false;        ///< --on-deadlock=break: take the lock away (done for mutexes)
};
inline constexpr long kPatienceSeconds = 1;

/// Judges a call that is about to take `mutex`. Writes a finding when its holder is gone: a
/// deadlock for an untimed lock, a hazard for the others. Does what on_deadlock says.
Met meet_mutex(ThreadRecord& thread, pthread_mutex_t* mutex, record::Call call,
               const void* return_address, bool waited);

/// The same for rwlocks (`flags` kLockReader: the call wants to read), spin locks, static-local
/// guards, stdio streams and once flags. The caller has tried it: it is taken.
Met meet_lock(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
              record::Call call, const void* return_address, bool waited);

/// An unlock of a lock that the forking thread took, and that libc refuses (or gets wrong) because
/// the owner word names it by its TID before the fork.
void meet_stale_owner(ThreadRecord& thread, const void* lock, record::LockType type,
                      std::uint8_t flags, std::int32_t owner, record::Call call,
                      const void* return_address);

/// Judges a wait for a semaphore whose value is 0.
Met meet_semaphore(ThreadRecord& thread, const void* semaphore, record::Call call,
                   const void* return_address);

/// Judges an untimed wait on `condition`.
std::uint64_t meet_condition(ThreadRecord& thread, pthread_cond_t* condition,
                             pthread_mutex_t* mutex, record::Call call, const void* return_address);

/// What a call waits at where only another thread of this process can let it go on.
struct WaitObject {
  const void* address;
  std::uint32_t size;  ///< bytes of it that can be read
  record::LockType type;
};

/// Judges an untimed wait at `object` (barrier, futex word, ...): a deadlock of kind lost-thread
/// when the calling thread is alone in its process. Gives the finding's id, or 0. The caller has
/// made sure that `object` is private to the process (or asks sys::is_shared()), and that the call
/// does wait.
std::uint64_t meet_wait(ThreadRecord& thread, const WaitObject& object, record::Call call,
                        const void* return_address);

/// Judges a call that waits until those who wait at `object` have left, where one of them is lost.
std::uint64_t meet_waiters(ThreadRecord& thread, const WaitObject& object, record::Call call,
                           const void* return_address);

/// The call on `object` came back: the finding, if a deadlock, is taken back.
void call_returned(std::uint64_t finding, const void* object, bool acquired);

}  // namespace forkscope
