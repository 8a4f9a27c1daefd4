// Which locks threads hold when a fork begins, in the order they took them.
//
// Others run meanwhile: nothing is kept that changed while it was read, and their mutexes' words
// are asked of the kernel (sys::equals), for the memory may be unmapped at any moment.
// Async-signal-safe; what it reads of other threads is theirs.
#pragma once

#include "detector/tracker/handler_trace_data.hpp"

namespace forkscope::held_before {

/// The forking thread's own, which may keep others out of the order it takes things in.
void look_at_own(HandlerTrace& trace, const ThreadRecord& self);
/// Those of another thread, if it has two mutexes at least.
void look_at(HandlerTrace& trace, const ThreadRecord& thread);
/// Whether it is a thread of this process, and running.
bool lives(const ThreadRecord& thread);

}  // namespace forkscope::held_before
