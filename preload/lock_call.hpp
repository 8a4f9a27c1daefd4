// What the interposers of locks without owner word share: rwlocks, spin locks, static-local guards,
// stdio streams, once flags.
//
// Inlined into files that leave the callee-saved registers alone (table::capture).
#pragma once

#include <cerrno>

#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

namespace forkscope::lock_call {

/// What is asked for: a constant of each interposer.
struct Kind {
  record::LockType type;
  std::uint8_t flags;  ///< kLockReader
  record::Call call;
};

/// The whole of the fast path: a known thread, not in a child that lost threads, with a free slot.
/// False when it is none of that, and nothing is done yet.
[[gnu::always_inline]] inline bool begin(const void* lock, const Kind& kind, void* caller,
                                         void* cfa) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr || thread->top == thread->slots + kSlots) [[unlikely]]
    return false;
  table::want(*thread, lock, kind.type, kind.flags, caller, cfa);
  return true;
}
/// After the real call that begin() precedes.
[[gnu::always_inline]] inline int finish(const void* lock, int result) {
  table::settle(*detail::self, lock, result == 0);
  return result;
}

/// What every other interposer that takes a lock begins with; the second half is its tail call.
/// False when the thread is unknown.
[[gnu::always_inline]] inline bool record_call(const void* lock, const Kind& kind, void* caller,
                                               void* cfa) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) [[unlikely]]
    return false;
  table::want(*thread, lock, kind.type, kind.flags, caller, cfa);
  return true;
}

/// Tries for kPatienceSeconds; EBUSY if it was taken all the time.
template <typename Attempt>
[[gnu::noinline]] int try_for_a_while(Attempt&& attempt) {
  constexpr long kStep = 2'000'000;  // nanoseconds
  std::uint64_t until = sys::now() + kPatienceSeconds * 1'000'000'000u;
  int result = EBUSY;
  while (result == EBUSY && sys::now() < until) {
    timespec step{0, kStep};
    sys::call(SYS_nanosleep, sys::arg(&step), 0);
    result = attempt();
  }
  return result;
}

/// The lock could be had: who is said to have it has given it up, somehow. A reader proves that of
/// no other reader.
inline void had(const void* lock, const Kind& kind) {
  if ((kind.flags & record::kLockReader) == 0) forget_lost(lock, kind.type);
}

/// In a child that lost threads. True when attempt() decided the call: `result` is what it gives.
/// A call with a time limit is not attempted: it looks at its limit first.
template <typename Attempt, typename TakeAway>
[[gnu::noinline]] bool meet(ThreadRecord& thread, const void* lock, const Kind& kind, void* caller,
                            Attempt&& attempt, TakeAway&& take_away, int& result, Met& met) {
  if (record::waits_of(kind.call) != record::Waits::kTimed) {
    result = attempt();
    if (result == 0) had(lock, kind);
    if (result != EBUSY) return true;
  }
  met = meet_lock(thread, lock, kind.type, kind.flags, kind.call, caller, false);
  if (met.wait_first) {
    result = try_for_a_while(attempt);
    if (result == 0) had(lock, kind);
    if (result != EBUSY) return true;
    met = meet_lock(thread, lock, kind.type, kind.flags, kind.call, caller, true);
  }
  if (met.broken) {
    take_away();
    met = {};
  }
  return false;
}

/// Takes the lock with lock(), which gives 0 or an error. attempt() does not wait: EBUSY if it
/// would have to. take_away() frees the lock of a thread that is gone.
template <typename Lock, typename Attempt, typename TakeAway>
[[gnu::always_inline]] inline int take(const void* lock_address, const Kind& kind, void* caller,
                                       bool recorded, Lock&& lock, Attempt&& attempt,
                                       TakeAway&& take_away) {
  ThreadRecord* thread = observed(kind.call, caller);
  if (thread == nullptr) [[unlikely]]
    return lock();
  if (!recorded) [[unlikely]]
    table::want_deep(*thread, lock_address, kind.type, kind.flags, caller);
  Met met;
  int result = 0;
  if (thread->guarded) [[unlikely]] {
    if (meet(*thread, lock_address, kind, caller, attempt, take_away, result, met)) {
      table::settle(*thread, lock_address, result == 0);
      return result;
    }
  }
  result = lock();
  table::settle(*thread, lock_address, result == 0);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, lock_address,
                  record::waits_of(kind.call) == record::Waits::kForever && result == 0);
  return result;
}

/// Before the call that gives it up, which is the interposer's tail call.
[[gnu::noinline]] inline void give_up_slowly(const void* lock) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  if (!table::release(*thread, lock) && !table::release_slowly(*thread, lock, false) &&
      thread->dropped > 0)
    --thread->dropped;
}
[[gnu::always_inline]] inline void give_up(const void* lock) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr || !table::release(*thread, lock)) [[unlikely]]
    give_up_slowly(lock);
}

/// Initialised or destroyed: a repair in a forked child, or another lock at an old address. Neither
/// this thread nor one that was not copied has it.
inline void forget(const void* lock, record::LockType type) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  forget_own(*thread, lock);
  if (thread->guarded) [[unlikely]]
    forget_lost(lock, type);
}

}  // namespace forkscope::lock_call
