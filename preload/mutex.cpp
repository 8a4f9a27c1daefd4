// pthread_mutex_*.
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

bool taken(int result) { return result == 0 || result == EOWNERDEAD; }

/// A mutex of a type that knows its owner, and this thread is it: a deeper level of a recursive
/// mutex, or an error. Recorded already.
[[gnu::always_inline]] inline bool owned(const ThreadRecord& thread, const pthread_mutex_t* mutex) {
  MutexWords words(mutex);
  return words.checks_owner() && words.owner() == thread.tid;
}

/// Whether unlocking gives the mutex up: all but the outermost level of a recursive one do not.
[[gnu::always_inline]] inline bool outermost(const pthread_mutex_t* mutex) {
  MutexWords words(mutex);
  return !words.recursive() || words.count() <= 1;
}

void forget_lock(ThreadRecord& thread, pthread_mutex_t* mutex) {
  // Not there: taken before the tracker knew the thread, or dropped.
  if (!table::pop(thread, mutex) && !table::erase(thread, mutex) && thread.dropped > 0)
    --thread.dropped;
}

/// See kPatienceSeconds.
int lock_for_a_while(pthread_mutex_t* mutex) {
  timespec until{time_t(sys::now() / 1'000'000'000) + kPatienceSeconds, 0};
  return real().pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
}

/// Everything but the plain fast path of pthread_mutex_lock: `recorded` says that the interposer
/// has pushed the mutex; it could not when the thread is unknown or its slots are used up.
template <typename Lock>
[[gnu::always_inline]] inline int take(ThreadRecord* thread, pthread_mutex_t* mutex,
                                       record::Call call, void* caller, bool recorded,
                                       Lock&& lock) {
  if (thread == nullptr || (!recorded && owned(*thread, mutex))) [[unlikely]]
    return lock();
  if (!recorded) table::push_deep(*thread, mutex, caller);
  Met met;
  if (thread->guarded && MutexWords(mutex).lock_word() != 0) [[unlikely]] {
    met = meet_mutex(*thread, mutex, call, caller, false);
    if (met.wait_first) {
      int result = lock_for_a_while(mutex);
      if (result != ETIMEDOUT) {
        if (!taken(result)) forget_lock(*thread, mutex);
        return result;
      }
      met = meet_mutex(*thread, mutex, call, caller, true);
    }
  }
  int result = lock();
  if (!taken(result)) forget_lock(*thread, mutex);
  if (met.finding != 0) [[unlikely]]
    call_returned(met.finding, mutex, call == record::Call::kMutexLock && taken(result));
  return result;
}

// Out of line, so that the interposers need no frame of their own (see table::capture).
[[gnu::noinline]] int lock_slowly(pthread_mutex_t* mutex, void* caller, bool recorded) {
  return take(current(), mutex, record::Call::kMutexLock, caller, recorded,
              [&] { return real().pthread_mutex_lock(mutex); });
}
[[gnu::noinline]] int trylock(pthread_mutex_t* mutex, void* caller, bool recorded) {
  return take(current(), mutex, record::Call::kMutexTrylock, caller, recorded,
              [&] { return real().pthread_mutex_trylock(mutex); });
}
[[gnu::noinline]] int timedlock(pthread_mutex_t* mutex, const timespec* until, void* caller,
                                bool recorded) {
  return take(current(), mutex, record::Call::kMutexTimedlock, caller, recorded,
              [&] { return real().pthread_mutex_timedlock(mutex, until); });
}
[[gnu::noinline]] int clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* until,
                                void* caller, bool recorded) {
  return take(current(), mutex, record::Call::kMutexClocklock, caller, recorded,
              [&] { return real().pthread_mutex_clocklock(mutex, clock, until); });
}

[[gnu::noinline]] int unlock_slowly(pthread_mutex_t* mutex) {
  ThreadRecord* thread = current();
  // Afterwards the mutex is another's, who may free it: ask before.
  bool last = outermost(mutex);
  int result = real().pthread_mutex_unlock(mutex);
  if (thread != nullptr && result == 0 && last) forget_lock(*thread, mutex);
  return result;
}

/// What every interposer that takes a mutex begins with; the second half is its tail call.
[[gnu::always_inline]] inline bool record_call(pthread_mutex_t* mutex, void* caller, void* cfa) {
  ThreadRecord* thread = detail::self;
  return thread != nullptr && !owned(*thread, mutex) && table::push(*thread, mutex, caller, cfa);
}

}  // namespace

#define FORKSCOPE_CALL_SITE __builtin_return_address(0), __builtin_dwarf_cfa()

FORKSCOPE_EXPORT int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]] {
    bool recorded = record_call(mutex, FORKSCOPE_CALL_SITE);
    return lock_slowly(mutex, __builtin_return_address(0), recorded);
  }
  if (owned(*thread, mutex) || !table::push(*thread, mutex, FORKSCOPE_CALL_SITE)) [[unlikely]]
    return lock_slowly(mutex, __builtin_return_address(0), false);
  return real_functions.pthread_mutex_lock(mutex);
}

FORKSCOPE_EXPORT int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr) [[unlikely]]
    return unlock_slowly(mutex);
  if (outermost(mutex) && !table::pop(*thread, mutex)) [[unlikely]]
    return unlock_slowly(mutex);
  return real_functions.pthread_mutex_unlock(mutex);
}

FORKSCOPE_EXPORT int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  bool recorded = record_call(mutex, FORKSCOPE_CALL_SITE);
  return trylock(mutex, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_mutex_timedlock(pthread_mutex_t* __restrict mutex,
                                             const timespec* __restrict until) noexcept {
  bool recorded = record_call(mutex, FORKSCOPE_CALL_SITE);
  return timedlock(mutex, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_mutex_clocklock(pthread_mutex_t* __restrict mutex, clockid_t clock,
                                             const timespec* __restrict until) noexcept {
  bool recorded = record_call(mutex, FORKSCOPE_CALL_SITE);
  return clocklock(mutex, clock, until, __builtin_return_address(0), recorded);
}

namespace {

/// Initialised or destroyed while this thread had it recorded: a repair in a forked child.
void forget(const pthread_mutex_t* mutex) {
  ThreadRecord* thread = current();
  if (thread != nullptr && !thread->empty()) table::erase(*thread, mutex);
}

}  // namespace

FORKSCOPE_EXPORT int pthread_mutex_init(pthread_mutex_t* mutex,
                                        const pthread_mutexattr_t* attributes) noexcept {
  int result = real().pthread_mutex_init(mutex, attributes);
  if (result == 0) forget(mutex);
  return result;
}

FORKSCOPE_EXPORT int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept {
  int result = real().pthread_mutex_destroy(mutex);
  if (result == 0) forget(mutex);
  return result;
}
