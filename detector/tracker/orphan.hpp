// The verdict in a forked child: this call can never return, because of the fork.
//
// Asked before a lock or wait call when the thread is `guarded` (its process lost threads in a
// fork). Needs no timeout: a mutex whose owner word names a thread that was not copied is never
// unlocked, and a private condition variable is never signalled where nobody else lives. What was
// repaired (unlocked or re-initialised by an at-fork handler) is seen as such, for the words are
// read at the call. Async-signal-safe; safe in a forked child.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

struct Met {
  std::uint64_t finding = 0;  ///< its id, or 0 when there is nothing to say
  bool wait_first = false;    ///< wait kPatience for the mutex, then ask again with `waited`
};
inline constexpr long kPatienceSeconds = 1;

/// Judges a call that is about to take `mutex`. Writes a finding when its holder is gone: a
/// deadlock for an untimed lock, a hazard for the others. Does what on_deadlock says.
Met meet_mutex(ThreadRecord& thread, pthread_mutex_t* mutex, record::Call call,
               const void* return_address, bool waited);

/// Judges an untimed wait on `condition`.
std::uint64_t meet_condition(ThreadRecord& thread, pthread_cond_t* condition,
                             pthread_mutex_t* mutex, const void* return_address);

/// The call on `object` came back: the finding, if a deadlock, is taken back.
void call_returned(std::uint64_t finding, const void* object, bool acquired);

}  // namespace forkscope
