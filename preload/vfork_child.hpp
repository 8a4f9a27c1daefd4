// The time in which a vfork child runs: its parent's thread stands still, and the child is that
// thread in every respect but its pid; memory and TLS are the parent's.
//
// Where libc's own vfork comes next, fork.cpp opens and closes this time exactly; where another
// library's does, nobody says when the child is gone, and after_vfork() (preload/observed.hpp)
// finds out at the next call. Async-signal-safe; each thread for itself.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// From here on every call of the thread may be the child's; `id` is the fork's. In the parent.
void open_vfork(ThreadRecord& thread, std::uint64_t id);
/// The child has gone on to exec or is over. In the parent; does nothing when not open.
void close_vfork(ThreadRecord& thread);

/// Whether the caller is a process that runs in another's memory.
bool in_borrowed_memory();

}  // namespace forkscope
