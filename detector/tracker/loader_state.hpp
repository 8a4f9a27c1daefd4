// Forks in the middle of another thread's dlopen or dlclose.
//
// fork() makes the loader's locks usable in the child, not what they guard. The loader itself says
// when its list of objects is being changed: r_state of _r_debug, meant for debuggers. A child that
// inherits it so ends in an assertion of the loader, exit status 127, at one of its next dlopen:
// which, depends on what it opens. Constructors and destructors run in the consistent state, so the
// forking thread is never the one. Thread-safe, async-signal-safe, safe in a forked child.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope::loader_state {

/// Keeps where the thread loads something: the call itself cannot be seen to return.
void note_call(const ThreadRecord& thread, const void* caller);

/// In the forked child, first thing.
void in_child();

/// Before a call that loads something, in a process that was forked. Told once a process;
/// gives whether it was now.
bool meet(ThreadRecord& thread, record::Call call, const void* caller);

}  // namespace forkscope::loader_state
