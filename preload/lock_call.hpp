// What the interposers of locks without owner word share: rwlocks, spin locks, static-local guards,
// stdio streams, once flags.
//
// Inlined into files that leave the callee-saved registers alone (table::capture).
#pragma once

#include <cerrno>

#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/latent.hpp"
#include "detector/tracker/lock_words.hpp"
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

/// As mutex_call::short_path_to_lock().
[[gnu::always_inline]] inline ThreadRecord* short_path_to(const void* lock, const Kind& kind) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr && (kind.type == record::LockType::kRwlock ||
                            kind.type == record::LockType::kSpinlock)) [[unlikely]] {
    thread = detail::guarded;
    if (thread != nullptr &&
        (lock_words::taken(lock, kind.type) || !asked_about(lock, kind.type, kind.flags)))
      return nullptr;
  }
  return thread;
}

/// The whole of the fast path: a known thread, a lock that need not be asked about, a free slot.
/// False when it is none of that, and nothing is done yet.
[[gnu::always_inline]] inline bool begin(const void* lock, const Kind& kind, void* caller,
                                         void* cfa) {
  ThreadRecord* thread = short_path_to(lock, kind);
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

/// After every acquire but those of the plain fast path.
[[gnu::always_inline]] inline void got(ThreadRecord& thread, const void* lock, const Kind& kind,
                                       void* caller, const Met& met) {
  if (thread.looking != 0) [[unlikely]]
    history::note_acquire(thread, lock, kind.type, kind.flags);
  inject::taken(thread, lock, kind.type, kind.flags, caller);
  if (thread.guarded && met.finding == 0) [[unlikely]]
    note_taken_in_child(thread, lock, kind.type, kind.flags, kind.call, caller);
}

/// Tries for kPatienceSeconds; EBUSY if it was taken all the time.
template <typename Attempt>
[[gnu::noinline]] int try_for_a_while(Attempt&& attempt) {
  constexpr long kStep = 2'000'000;  // nanoseconds
  std::uint64_t until = sys::now() + kPatienceSeconds * 1'000'000'000u;
  int result = EBUSY;
  while (result == EBUSY && sys::now() < until) {
    if (!sys::nap(kStep)) break;
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
  if (inject::refuses(*thread, lock_address, kind.type, kind.flags, kind.call, caller))
      [[unlikely]] {
    table::settle(*thread, lock_address, false);
    return record::waits_of(kind.call) == record::Waits::kTry ? EBUSY : ETIMEDOUT;
  }
  Met met;
  int result = 0;
  if (thread->guarded) [[unlikely]] {
    if (meet(*thread, lock_address, kind, caller, attempt, take_away, result, met)) {
      table::settle(*thread, lock_address, result == 0);
      if (result == 0) got(*thread, lock_address, kind, caller, met);
      return result;
    }
  }
  result = lock();
  table::settle(*thread, lock_address, result == 0);
  if (result == 0) got(*thread, lock_address, kind, caller, met);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, lock_address,
                  record::waits_of(kind.call) == record::Waits::kForever && result == 0);
  return result;
}

/// A word to the history, before `lock` is given up. Gives whether it is recorded as held.
inline bool note_release(ThreadRecord& thread, const void* lock) {
  bool recorded = false;
  thread.each([&](const Recorded& one) {
    recorded = one.lock == lock && one.hold == Hold::kHeld;
    if (recorded)
      history::note_release(thread, {lock, one.type, one.flags, one.slot, one.caller});
    return !recorded;
  });
  return recorded;
}

/// Before the call that gives it up, which is the interposer's tail call.
[[gnu::noinline]] inline void give_up_slowly(const void* lock) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  inject::giving_up(*thread, lock);
  // One that it did not take in this process was held by the fork: protected.
  if (!note_release(*thread, lock) && thread->guarded) history::forget(lock);
  if (!table::release(*thread, lock) && !table::release_slowly(*thread, lock, false) &&
      thread->dropped > 0)
    --thread->dropped;
}
/// The fast path: the newest slot, and nothing new for the history. False when it is not that, and
/// nothing is done yet.
[[gnu::always_inline]] inline bool give_up_newest(const void* lock) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]] {
    thread = detail::guarded;
    if (thread == nullptr || (newest_slot(*thread).flags & kInherited) != 0) return false;
  }
  Slot& newest = newest_slot(*thread);
  if (!is(newest, lock, Hold::kHeld) || !history::count_release(*thread, lock, newest.flags))
      [[unlikely]]
    return false;
  table::release_newest(*thread, newest, lock);
  return true;
}
[[gnu::always_inline]] inline void give_up(const void* lock) {
  if (!give_up_newest(lock)) [[unlikely]]
    give_up_slowly(lock);
}

/// Initialised or destroyed: a repair in a forked child, or another lock at an old address. Neither
/// this thread nor one that was not copied has it.
inline void forget(const void* lock, record::LockType type) {
  history::forget(lock);
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  forget_own(*thread, lock);
  if (thread->guarded) [[unlikely]]
    forget_lost(lock, type);
}

}  // namespace forkscope::lock_call
