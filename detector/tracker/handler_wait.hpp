// An at-fork handler that waits for a mutex which another living thread has: the fork hangs if that
// one waits, itself or by others, for what the forking thread holds.
//
//   prepare handler:  has A, wants B          the ring is read from the mutexes' owner words and
//   another thread:   has B, wants A          from /proc/self/task/TID/syscall, twice
//
// A thread in the ring sleeps in futex(2) without a time limit, at a mutex whose owner sleeps so as
// well, up to the caller itself: none of them will ever unlock. Asked only after the handler has
// waited for a third of kPatienceSeconds: glibc lets anybody unlock a mutex. Async-signal-safe; for
// the calling thread's own handlers.
#pragma once

#include "detector/tracker/orphan.hpp"

namespace forkscope {

/// Whether meet_in_handler() may be asked: the calling thread is in a handler, and the mutex is of
/// a kind that can be waited for with a limit of ours. Notes who holds what just now.
bool handler_waits(ThreadRecord& thread, const void* mutex);

/// After a while: a deadlock where the ring is closed, else, at the last look, a hazard, as the
/// fork waits.
Met meet_in_handler(ThreadRecord& thread, const void* mutex, record::Call call,
                    const void* return_address, bool last_look);

}  // namespace forkscope
