// Which functions of libc a thread is inside of, for the families whose lock fork does not reset.
//
// A few entries in the thread's own record, written by that thread only; a forked child reads those
// of the threads it lost, as the fork froze them. An entry counts while it names a call, and is
// cleared before it is given up, so that every prefix of the stores is right. What a thread left by
// a jump (longjmp, an exception thrown by a callback) is recognised by its place on the stack: an
// enclosing call's frame is above. Async-signal-safe.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope::inside {

/// Number of entries the thread had, which is what leave() takes.
[[gnu::always_inline]] inline std::uint32_t enter(ThreadRecord& thread, record::UnsafeCall call,
                                                  const void* caller, const void* cfa) {
  std::uint32_t depth = thread.inside_depth;
  for (; depth > 0 && thread.inside[depth - 1].cfa <= cfa; --depth)
    thread.inside[depth - 1].call.store(record::UnsafeCall::none, std::memory_order_relaxed);
  if (depth < kInsideDepth) [[likely]] {
    InsideCall& entry = thread.inside[depth];
    // The depth first: a signal handler that enters in between uses the next entry.
    thread.inside_depth = depth + 1;
    std::atomic_signal_fence(std::memory_order_seq_cst);
    entry.caller = caller;
    entry.cfa = cfa;
    entry.call.store(call, std::memory_order_release);
  }
  return depth;
}

[[gnu::always_inline]] inline void leave(ThreadRecord& thread, std::uint32_t depth) {
  if (depth >= kInsideDepth) [[unlikely]]
    return;
  thread.inside[depth].call.store(record::UnsafeCall::none, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
  thread.inside_depth = depth;
}

}  // namespace forkscope::inside
