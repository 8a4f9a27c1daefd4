// What the at-fork handlers of one fork did: how long each took, and which locks it took and
// released. Kept while the fork lasts, written down when the call returns, in parent and child.
//
// Also, at the beginning of a fork, the locks that other threads hold several of at once: against
// the order in which prepare handlers then take the same locks, that is an inversion. Looking costs
// the other threads nothing; their tables and the locks' words may change meanwhile, so everything
// is read twice, and words of locks by the kernel (sys::equals), for they may be unmapped.
//
// A few traces in static memory: a fork that finds none free is not written down. Lock-free,
// thread-safe, async-signal-safe, and safe in a forked child, which has a copy of its thread's.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope::handler_trace {

/// A fork that runs handlers begins in the calling thread.
void begin(ThreadRecord& self);
/// In the child: the traces of other threads are free.
void in_child(const ThreadRecord& self);
/// The call has returned, by an error where `failed`. Writes the record.
void finish(ThreadRecord& self, bool in_child, bool failed);
/// In the child of a fork that runs no handlers: names those that it passed by.
void note_passed_by(std::uint64_t fork);

/// Of HandlerCall: the calling thread is about to enter its handler, and has left it again.
void entered(ThreadRecord& self, HandlerCall& call, std::uint32_t order);
void left(ThreadRecord& self, const HandlerCall& call, std::uint64_t nanoseconds);

/// The calling thread took or released a mutex. Does nothing unless it is in a handler.
void note_taken(ThreadRecord& self, const void* mutex, record::Call call, const void* caller);
void note_released(ThreadRecord& self, const void* mutex, const void* caller);
/// It is about to wait for a mutex that `owner` has: what else does that one hold?
void note_contended(ThreadRecord& self, std::int32_t owner);

}  // namespace forkscope::handler_trace
