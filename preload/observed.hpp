// Which thread's record an interposer may use.
//
// A vfork child runs in its parent's memory, as its parent's thread: what it locks must not be
// recorded in the parent's table, and that it calls anything but exec or _exit is worth a note. The
// parent cannot be told when its child is gone (vfork.S ends in a jump), so the first call after a
// vfork asks the kernel who is running. Async-signal-safe.
#pragma once

#include "detector/tracker/registry.hpp"

namespace forkscope {

/// In the parent again: closes the vfork and gives `thread`. In the child: notes `call` (once per
/// vfork) and gives null. preload/vfork_child.cpp.
ThreadRecord* after_vfork(ThreadRecord& thread, record::Call call, const void* return_address);

/// The calling thread's record; null where nothing is to be recorded: an unknown thread, a vfork
/// child.
[[gnu::always_inline]] inline ThreadRecord* observed(record::Call call,
                                                     const void* return_address) {
  ThreadRecord* thread = current();
  if (thread != nullptr && thread->vfork_open) [[unlikely]]
    return after_vfork(*thread, call, return_address);
  return thread;
}

}  // namespace forkscope
