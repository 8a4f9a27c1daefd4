// What the interposers of mutexes share: pthread_mutex_* (mutex.cpp) and C11's mtx_* (c11.cpp),
// which in glibc are the same object.
//
// Everything here is inlined into the interposers' files, which leave the callee-saved registers
// alone (table::capture).
#pragma once

#include <threads.h>

#include "detector/tracker/history.hpp"
#include "detector/tracker/latent.hpp"
#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/handler_wait.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

namespace forkscope::mutex_call {

inline bool taken(int result) { return result == 0 || result == EOWNERDEAD; }

/// A mutex of a type that knows its owner, and this thread is it: a deeper level of a recursive
/// mutex, or an error. Recorded already.
[[gnu::always_inline]] inline bool owned(const ThreadRecord& thread, const void* mutex) {
  MutexWords words(mutex);
  return words.checks_owner() && words.owner() == thread.tid;
}

/// Whether unlocking gives the mutex up: all but the outermost level of a recursive one do not.
[[gnu::always_inline]] inline bool outermost(const void* mutex) {
  MutexWords words(mutex);
  return !words.recursive() || words.count() <= 1;
}

/// The calling thread where its call for `mutex` may be short: nothing wants it to be long, or only
/// that it is guarded, and the mutex is free, so that nobody lost has it, and was asked about.
[[gnu::always_inline]] inline ThreadRecord* short_path_to_lock(const void* mutex) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]] {
    thread = detail::guarded;
    if (thread != nullptr && (MutexWords(mutex).lock_word() != 0 ||
                              !asked_about(mutex, record::LockType::kMutexNormal, 0)))
      return nullptr;
  }
  return thread;
}
/// The same for a try, which note_taken_in_child() never asks about.
[[gnu::always_inline]] inline ThreadRecord* short_path_to_try(const void* mutex) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]] {
    thread = detail::guarded;
    if (thread != nullptr && MutexWords(mutex).lock_word() != 0) return nullptr;
  }
  return thread;
}
/// The same for giving it up: a guarded thread's must be its own, under its TID of now.
[[gnu::always_inline]] inline ThreadRecord* short_path_to_unlock(const void* mutex) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]] {
    thread = detail::guarded;
    if (thread != nullptr && MutexWords(mutex).owner() != thread->tid) return nullptr;
  }
  return thread;
}

/// A word to the history, before `mutex` is given up.
inline void note_release(ThreadRecord& thread, const void* mutex) {
  thread.each([&](const Recorded& one) {
    if (one.lock != mutex || one.slot == thread.top) return true;
    history::note_release(
        thread, {mutex, MutexWords(mutex).type(), 0, one.slot, one.caller});
    return false;
  });
}

/// The fast path of unlocking: the newest slot, and nothing new for the history. False when it is
/// not that, and nothing is done yet.
[[gnu::always_inline]] inline bool pop_newest(ThreadRecord& thread, const void* mutex) {
  Slot& newest = newest_slot(thread);
  if (!is(newest, mutex, Hold::kOwnerWord) || !history::count_release(thread, mutex)) [[unlikely]]
    return false;
  thread.top = &newest;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return true;
}

inline void forget_lock(ThreadRecord& thread, const void* mutex) {
  // Not there: taken before the tracker knew the thread, or dropped.
  if (!table::pop(thread, mutex) && !table::erase(thread, mutex) && thread.dropped > 0)
    --thread.dropped;
}

/// Initialised or destroyed while this thread had it recorded: a repair in a forked child.
inline void forget(const void* lock) {
  history::forget(lock);
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  forget_own(*thread, lock);
  if (thread->fork.handler != nullptr) handler_trace::note_released(*thread, lock, nullptr);
}

/// See kPatienceSeconds. An errno value.
inline int lock_until(void* mutex, timespec until) {
  return real().pthread_mutex_clocklock(static_cast<pthread_mutex_t*>(mutex), CLOCK_MONOTONIC,
                                        &until);
}
inline int lock_for_a_while(void* mutex) {
  return lock_until(mutex, {time_t(sys::now() / 1'000'000'000) + kPatienceSeconds, 0});
}

/// What every interposer that takes a mutex begins with; the second half is its tail call.
[[gnu::always_inline]] inline bool record_call(const void* mutex, void* caller, void* cfa) {
  ThreadRecord* thread = detail::self;
  return thread != nullptr && !thread->vfork_open && !owned(*thread, mutex) &&
         table::push(*thread, mutex, caller, cfa);
}

/// After every acquire but that of the plain fast path.
[[gnu::always_inline]] inline void got(ThreadRecord& thread, const void* mutex, record::Call call,
                                       void* caller, const Met& met) {
  if (thread.looking != 0) [[unlikely]]
    history::note_acquire(thread, mutex, MutexWords(mutex).type(), 0);
  inject::taken(thread, mutex, MutexWords(mutex).type(), 0, caller);
  if (thread.fork.handler != nullptr) [[unlikely]]
    handler_trace::note_taken(thread, mutex, call, caller);
  if (thread.guarded && met.finding == 0) [[unlikely]]
    note_taken_in_child(thread, mutex, MutexWords(mutex).type(), 0, call, caller);
}

/// A call with a limit cannot be part of a ring of locks: see is_ordered().
inline void mark_unordered(ThreadRecord& thread, const void* mutex) {
  Slot& slot = newest_slot(thread);
  if (is(slot, mutex, Hold::kOwnerWord))
    slot.time = unordered_mark(tagged(mutex, Hold::kOwnerWord), slot.registers.pc);
}

/// In a handler, and somebody has the mutex: waits for it, but not blindly. True when `result` is
/// what the call gives.
[[gnu::noinline]] inline bool wait_in_handler(ThreadRecord& thread, void* mutex, record::Call call,
                                              void* caller, int& result, Met& met) {
  if (!clocklock_is_of_the_same.load(std::memory_order_relaxed)) return false;
  if (!handler_waits(thread, mutex)) return false;
  constexpr int kLooks = 3;
  for (int look = 1; look <= kLooks && met.finding == 0; ++look) {
    const std::uint64_t until = sys::now() + kPatienceSeconds * 1'000'000'000u / kLooks;
    result = lock_until(mutex, {time_t(until / 1'000'000'000), long(until % 1'000'000'000)});
    if (result != ETIMEDOUT) return true;
    met = meet_in_handler(thread, mutex, call, caller, look == kLooks);
  }
  return false;
}

/// What a try gives that found the mutex taken, or a wait whose time was over.
inline int refusal(record::Call call) {
  const bool c11 = call == record::Call::kMtxTrylock || call == record::Call::kMtxTimedlock;
  if (record::waits_of(call) == record::Waits::kTry) return c11 ? int(thrd_busy) : EBUSY;
  return c11 ? int(thrd_timedout) : ETIMEDOUT;
}

/// Everything but the plain fast path of pthread_mutex_lock: `recorded` says that the interposer
/// has pushed the mutex; it could not when the thread is unknown or its slots are used up.
template <typename Lock>
[[gnu::always_inline]] inline int take(void* mutex, record::Call call, void* caller, bool recorded,
                                       Lock&& lock) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr || (!recorded && owned(*thread, mutex))) [[unlikely]]
    return lock();
  if (!recorded) table::push_deep(*thread, mutex, caller);
  if (inject::refuses(*thread, mutex, MutexWords(mutex).type(), 0, call, caller)) [[unlikely]] {
    forget_lock(*thread, mutex);
    return refusal(call);
  }
  Met met;
  if (thread->guarded && MutexWords(mutex).lock_word() != 0) [[unlikely]] {
    auto* object = static_cast<pthread_mutex_t*>(mutex);
    met = meet_mutex(*thread, object, call, caller, false);
    if (met.wait_first) {
      int result = lock_for_a_while(mutex);
      if (result != ETIMEDOUT) {
        if (!taken(result))
          forget_lock(*thread, mutex);
        else
          got(*thread, mutex, call, caller, met);
        return result;
      }
      met = meet_mutex(*thread, object, call, caller, true);
    }
  }
  int result = 0;
  const bool in_handler = thread->fork.handler != nullptr;
  const bool for_ever = record::waits_of(call) == record::Waits::kForever;
  if (!for_ever) mark_unordered(*thread, mutex);
  if (!(in_handler && for_ever && met.finding == 0 && MutexWords(mutex).lock_word() != 0 &&
        wait_in_handler(*thread, mutex, call, caller, result, met)))
    result = lock();
  if (!taken(result))
    forget_lock(*thread, mutex);
  else
    got(*thread, mutex, call, caller, met);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, mutex,
                  record::waits_of(call) == record::Waits::kForever && taken(result));
  return result;
}

/// `refused`: what unlock gives to a thread that is not the owner.
template <typename Unlock>
[[gnu::always_inline]] inline int give_up(void* mutex, record::Call call, void* caller,
                                          int refused, Unlock&& unlock) {
  ThreadRecord* thread = observed(call, caller);
  // Afterwards the mutex is another's, who may free it: ask before.
  bool last = outermost(mutex);
  if (thread != nullptr && last) {
    inject::giving_up(*thread, mutex);
    // One that it did not take in this process was held by the fork: protected.
    if (thread->guarded && !table::contains(*thread, mutex)) history::forget(mutex);
    note_release(*thread, mutex);
  }
  int result = unlock();
  if (thread == nullptr) return result;
  if (result == 0 && last) forget_lock(*thread, mutex);
  if (result == 0 && last && thread->fork.handler != nullptr) [[unlikely]]
    handler_trace::note_released(*thread, mutex, caller);
  if (result == refused && thread->guarded) [[unlikely]] {
    MutexWords words(mutex);
    meet_stale_owner(*thread, mutex, words.type(), words.flags(), words.owner(), call, caller);
  }
  return result;
}

}  // namespace forkscope::mutex_call
