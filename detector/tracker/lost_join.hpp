// Joins of threads that fork did not copy.
//
// glibc marks those as ended in the child (nptl/nptl-stack.c, reclaim_stacks): pthread_join returns
// 0 at once, with a result that nobody gave, or faults where the thread's stack is unmapped by now.
// Handles are stacks, and a new thread of the child may get the stack of a lost one: a handle means
// the lost thread only until then. Thread-safe, async-signal-safe, safe in a forked child.
#pragma once

#include <pthread.h>

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// Judges a join of `handle`: the finding's id, or 0 when it is no lost thread's. Told once a
/// handle and process.
std::uint64_t meet_join(ThreadRecord& thread, pthread_t handle, record::Call call,
                        const void* return_address);

/// The join came back: it has not cost the process its life.
void join_returned(std::uint64_t finding);

/// A thread of this process now has `handle`: no lost one has it any more.
void handle_taken(pthread_t handle);

}  // namespace forkscope
