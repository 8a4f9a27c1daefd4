// Latent deadlocks: a forked child got a lock that a lost thread might as well have had.
//
// Asked after a lock was taken in a child that lost threads. Written once per lock and place in a
// whole session, and counted after that: the children of a server all do the same.
// Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// The calling thread has taken `lock` (`flags` kLockReader: for reading).
void note_taken_in_child(ThreadRecord& thread, const void* lock, record::LockType type,
                         std::uint8_t flags, record::Call call, const void* return_address);

}  // namespace forkscope
