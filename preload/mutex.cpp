// pthread_mutex_*.
#include "preload/mutex_call.hpp"

#include "detector/tracker/births.hpp"

using namespace forkscope;
using namespace forkscope::mutex_call;
using record::Call;

namespace {

// Out of line, so that the interposers need no frame of their own (see table::capture).
[[gnu::noinline]] int lock_slowly(pthread_mutex_t* mutex, void* caller, bool recorded) {
  return take(mutex, Call::kMutexLock, caller, recorded,
              [&] { return real().pthread_mutex_lock(mutex); });
}
[[gnu::noinline]] int trylock(pthread_mutex_t* mutex, void* caller, bool recorded) {
  return take(mutex, Call::kMutexTrylock, caller, recorded,
              [&] { return real().pthread_mutex_trylock(mutex); });
}
[[gnu::noinline]] int timedlock(pthread_mutex_t* mutex, const timespec* until, void* caller,
                                bool recorded) {
  return take(mutex, Call::kMutexTimedlock, caller, recorded,
              [&] { return real().pthread_mutex_timedlock(mutex, until); });
}
[[gnu::noinline]] int clocklock(pthread_mutex_t* mutex, clockid_t clock, const timespec* until,
                                void* caller, bool recorded) {
  return take(mutex, Call::kMutexClocklock, caller, recorded,
              [&] { return real().pthread_mutex_clocklock(mutex, clock, until); });
}
[[gnu::noinline]] int unlock_slowly(pthread_mutex_t* mutex, void* caller) {
  return give_up(mutex, Call::kMutexUnlock, caller, EPERM,
                 [&] { return real().pthread_mutex_unlock(mutex); });
}

}  // namespace

FORKSCOPE_EXPORT int pthread_mutex_lock(pthread_mutex_t* mutex) noexcept {
  ThreadRecord* thread = short_path_to_lock(mutex);
  if (thread == nullptr) [[unlikely]] {
    bool recorded = record_call(mutex, FORKSCOPE_CALL_SITE);
    return lock_slowly(mutex, __builtin_return_address(0), recorded);
  }
  if (owned(*thread, mutex) || !table::push(*thread, mutex, FORKSCOPE_CALL_SITE)) [[unlikely]]
    return lock_slowly(mutex, __builtin_return_address(0), false);
  return real_functions.pthread_mutex_lock(mutex);
}

FORKSCOPE_EXPORT int pthread_mutex_unlock(pthread_mutex_t* mutex) noexcept {
  ThreadRecord* thread = short_path_to_unlock(mutex);
  if (thread == nullptr) [[unlikely]]
    return unlock_slowly(mutex, __builtin_return_address(0));
  if (outermost(mutex) && !pop_newest(*thread, mutex)) [[unlikely]]
    return unlock_slowly(mutex, __builtin_return_address(0));
  return real_functions.pthread_mutex_unlock(mutex);
}

FORKSCOPE_EXPORT int pthread_mutex_trylock(pthread_mutex_t* mutex) noexcept {
  ThreadRecord* thread = short_path_to_try(mutex);
  if (thread != nullptr && !owned(*thread, mutex) &&
      table::push(*thread, mutex, FORKSCOPE_CALL_SITE)) [[likely]] {
    mark_unordered(*thread, mutex);
    const int result = real_functions.pthread_mutex_trylock(mutex);
    if (!taken(result)) forget_lock(*thread, mutex);
    return result;
  }
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

FORKSCOPE_EXPORT int pthread_mutex_init(pthread_mutex_t* mutex,
                                        const pthread_mutexattr_t* attributes) noexcept {
  int result = real().pthread_mutex_init(mutex, attributes);
  if (result == 0) forget(mutex);
  if (result == 0) births::note(mutex);
  return result;
}

FORKSCOPE_EXPORT int pthread_mutex_destroy(pthread_mutex_t* mutex) noexcept {
  int result = real().pthread_mutex_destroy(mutex);
  births::forget(mutex);
  if (result == 0) forget(mutex);
  return result;
}
