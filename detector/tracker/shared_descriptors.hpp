// Descriptors that a forked child shares with its parent, and who of them used which after the fork
// (check=descriptors).
//
// The list is made before the fork, in the session's memory, so that parent and child have the same
// record and each marks there what it does. A use counts once it is known to be one of the same
// open file: by device and inode, and for what has none of its own (epoll and the like) by kcmp(2),
// which needs both processes. What is not known to be the same is not marked.
//
// Without the option nothing here is called. Thread-safe, async-signal-safe, fork-safe; keeps errno
// (raw system calls only).
#pragma once

#include "detector/record/descriptors.hpp"
#include "detector/tracker/thread_record.hpp"

/// Whether descriptor_noted.S has something to tell: from the first fork on that shares any.
extern "C" [[gnu::visibility("hidden")]] unsigned char forkscope_descriptors_watched;

namespace forkscope::shared_descriptors {

/// Once, before main: what the program was started with was given to it, and is no mistake of its
/// own (the pipe of a make that hands out jobs, a listening socket of a service manager).
void remember_start();
/// In the parent, before the system call: fork.descriptors.
void before_fork(ThreadRecord& self);
/// In the child, when process.pid is its own.
void in_child(ThreadRecord& self);
/// In the parent, after the system call.
void in_parent(ThreadRecord& self, bool forked);

/// Before the call.
void used(record::DescriptorCall call, int descriptor, const void* caller);

/// In the child, when it calls exit or _exit: what it still has.
void at_exit();

}  // namespace forkscope::shared_descriptors
