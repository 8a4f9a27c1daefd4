// What the interposers of condition variables share: pthread_cond_* (cond.cpp) and C11's cnd_*
// (c11.cpp), which in glibc are the same object.
//
// A wait releases its mutex and takes it again before it returns: the mutex keeps its slot all the
// while (the owner word says when it counts), and the call site of the wait becomes the place where
// it was acquired. Inlined into files that leave the callee-saved registers alone (table::capture).
#pragma once

#include "detector/tracker/history.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/orphan.hpp"
#include "preload/mutex_call.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

namespace forkscope::cond_call {

/// What each wait begins with; the second half is its tail call (see table::capture).
[[gnu::always_inline]] inline void record_call(const void* mutex, void* caller, void* cfa) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  Slot& newest = newest_slot(*thread);
  if (is(newest, mutex, Hold::kOwnerWord)) table::capture(*thread, newest, caller, cfa);
}

template <typename Wait>
[[gnu::always_inline]] inline int wait_on(void* condition, void* mutex, record::Call call,
                                          void* caller, Wait&& wait) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) [[unlikely]]
    return wait();
  std::uint64_t finding = 0;
  if (thread->guarded && record::waits_of(call) == record::Waits::kForever) [[unlikely]]
    finding = meet_condition(*thread, static_cast<pthread_cond_t*>(condition),
                             static_cast<pthread_mutex_t*>(mutex), call, caller);
  // The wait gives the mutex up.
  inject::giving_up(*thread, mutex);
  if (!history::count_release(*thread, mutex)) mutex_call::note_release(*thread, mutex);
  thread->wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread->wait_mutex.store(mutex, std::memory_order_relaxed);
  thread->waiting.store(record::ThreadState::kCondWait, std::memory_order_relaxed);
  thread->wait_object.store(condition, std::memory_order_release);
  int result = wait();
  thread->wait_object.store(nullptr, std::memory_order_release);
  thread->wait_mutex.store(nullptr, std::memory_order_relaxed);
  inject::taken(*thread, mutex, MutexWords(mutex).type(), 0, caller);
  if (finding != 0) [[unlikely]]
    call_returned(finding, condition, true);
  return result;
}

/// What is judged before a call that may have to wait for inherited waiters.
template <typename Function>
[[gnu::always_inline]] inline auto unless_blocked(ThreadRecord* thread, const void* condition,
                                                  record::Call call, void* caller, bool blocks,
                                                  Function&& function) {
  std::uint64_t finding = 0;
  if (thread != nullptr && thread->guarded && blocks) [[unlikely]]
    finding = meet_waiters(*thread, {condition, 40, record::LockType::kCondition}, call, caller);
  auto result = function();
  if (finding != 0) [[unlikely]]
    call_returned(finding, condition, true);
  return result;
}

/// Remembers who signals what: where a forked child waits in vain, that is who is missing.
template <typename Signal>
[[gnu::always_inline]] inline int signal(const void* condition, record::Call call, void* caller,
                                         bool broadcast, Signal&& send) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) return send();
  note_signal(*thread, condition);
  return unless_blocked(
      thread, condition, call, caller,
      thread->guarded && lock_words::condition_signal_blocks(condition, broadcast), send);
}

template <typename Destroy>
[[gnu::always_inline]] inline auto destroy(const void* condition, record::Call call, void* caller,
                                           Destroy&& function) {
  ThreadRecord* thread = observed(call, caller);
  return unless_blocked(
      thread, condition, call, caller,
      thread != nullptr && thread->guarded && lock_words::condition_has_waiters(condition),
      function);
}

}  // namespace forkscope::cond_call
