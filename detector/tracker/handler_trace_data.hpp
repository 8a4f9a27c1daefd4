// The memory of handler_trace and held_before: one fork's handlers while it lasts. Written by the
// forking thread alone, and by its copy in the child.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// A lock without owner word that the thread holds.
struct HeldLockOnly {
  const void* lock;
  record::LockType type;
  std::uint8_t flags;
  std::uint64_t caller;
};

struct HandlerTrace {
  std::uint64_t fork;  ///< Fork::id
  std::uint32_t runs, locks, before, dropped_runs, dropped_locks, had;
  record::HandlerRun run[record::kMaxHandlerRuns];
  record::HandlerLock lock[record::kMaxHandlerLocks];
  record::HeldBefore held[record::kMaxHeldBefore];
  HeldLockOnly had_locks[kSlots + kDeepSlots + 2];  ///< when the handler that runs was entered

  void clear() { runs = locks = before = dropped_runs = dropped_locks = had = 0; }
};

}  // namespace forkscope
