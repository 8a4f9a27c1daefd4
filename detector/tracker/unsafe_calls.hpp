// Calls of libc that the forked child of a process with threads may not make: what is said of them.
//
// One note a call site in the whole session, however many children come by (tracker/unsafe_sites);
// a hazard where a thread that was lost was inside a function of the same lock. Thread-safe,
// async-signal-safe, safe in a forked child. Costs a test of the calling thread's `guarded` where
// nothing was lost.
#pragma once

#include "detector/record/unsafe_calls.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::unsafe_calls {

/// In a forked child, while it has one thread.
void in_child(const ThreadRecord& self);

struct Vanished {
  const ThreadRecord* thread = nullptr;
  const void* caller = nullptr;  ///< return address of its call
  record::UnsafeCall call = record::UnsafeCall::none;
  std::uint32_t others = 0;  ///< threads beside it
};
/// In a forked child: a thread that was not copied and was inside a function which takes the lock
/// of `call`.
Vanished find_vanished(record::UnsafeCall call);

/// `thread`, which is guarded, is about to make `call`, which goes to `function`, if that is known.
/// Gives the hazard that was written, or 0.
std::uint64_t meet(ThreadRecord& thread, record::UnsafeCall call, const void* caller,
                   const void* function = nullptr);

/// For the interposers of functions that have one for another reason.
inline void note(ThreadRecord& thread, record::UnsafeCall call, const void* caller,
                 const void* function = nullptr) {
  if (thread.guarded) [[unlikely]]
    meet(thread, call, caller, function);
}

/// The call that meet() warned of has returned.
void came_back(std::uint64_t finding);

}  // namespace forkscope::unsafe_calls
