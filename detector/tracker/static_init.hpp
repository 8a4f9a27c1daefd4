// Initialisations of function-local statics around forks: a latent deadlock shows itself only when
// both do it, a thread of the parent after the fork and the child for itself. (Once it is done
// nobody asks the guard any more, so the history of locks says nothing of it.)
//
// Async-signal-safe; safe in a forked child.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// The calling thread has begun to initialise what `guard` is for, called from a function whose
/// frame is still there. Written down in a forked child that lost threads, and in a process with
/// several threads that has forked.
void note_static_init(ThreadRecord& thread, const void* guard);

}  // namespace forkscope
