// Which thread's record an interposer may use.
//
// A vfork child runs in its parent's memory, as its parent's thread: what it locks must not be
// recorded in the parent's table, and that it calls anything but exec or _exit is worth a note. The
// parent cannot be told when its child is gone (vfork.S ends in a jump), so the first call after a
// vfork asks the kernel who is running. Async-signal-safe.
#pragma once

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/lock_names.hpp"
#include "detector/tracker/registry.hpp"

/// What table::capture keeps of the interposer's caller.
#define FORKSCOPE_CALL_SITE __builtin_return_address(0), __builtin_dwarf_cfa()

namespace forkscope {

/// In the parent again: closes the vfork and gives `thread`. In the child: notes `call` (once per
/// vfork) and gives null. preload/vfork_child.cpp.
ThreadRecord* after_vfork(ThreadRecord& thread, record::Call call, const void* return_address);

/// `lock` was initialised or destroyed: `thread`, the calling one, has it no longer, nor has one that
/// was not copied.
inline void forget_own(ThreadRecord& thread, const void* lock) {
  lock_names::forget(lock);
  note_repaired(lock);
  if (!thread.empty()) table::erase(thread, lock);
}

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
