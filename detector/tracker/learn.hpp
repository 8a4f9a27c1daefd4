// learn=on: which locks, and which functions of libc with a lock inside, threads other than the
// forking one use around forks. `forkscope sweep` tries each of them in turn.
//
// Written by the child of a fork from its frozen copy of the history; once for each lock of a
// session, and counted after that. Async-signal-safe; safe in a forked child. Without learn=on
// nobody calls it.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope::learn {

/// The calling thread has entered this function of libc.
void called(const ThreadRecord& thread, record::UnsafeCall call, const void* caller);

/// In a forked child that knows which locks were held at the fork, and has forgotten none.
void in_child();

}  // namespace forkscope::learn
