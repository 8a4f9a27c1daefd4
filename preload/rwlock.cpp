// pthread_rwlock_*. A writer is named by the lock itself, readers only by their own tables.
#include <cstring>

#include "detector/tracker/births.hpp"
#include "detector/tracker/lock_words.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using lock_call::Kind;
using record::Call;

namespace {

constexpr Kind reading(Call call) { return {record::LockType::kRwlock, record::kLockReader, call}; }
constexpr Kind writing(Call call) { return {record::LockType::kRwlock, 0, call}; }

/// As if nobody had it, with the attributes it was made with.
void take_away(pthread_rwlock_t* lock) {
  auto old = lock->__data;
  std::memset(lock, 0, sizeof *lock);
  lock->__data.__shared = old.__shared;
  lock->__data.__flags = old.__flags;
}

template <typename Lock>
[[gnu::always_inline]] inline int read(pthread_rwlock_t* lock, Call call, void* caller,
                                       bool recorded, Lock&& function) {
  return lock_call::take(
      lock, reading(call), caller, recorded, function,
      [&] { return real().pthread_rwlock_tryrdlock(lock); }, [&] { take_away(lock); });
}

template <typename Lock>
[[gnu::always_inline]] inline int write(pthread_rwlock_t* lock, Call call, void* caller,
                                        bool recorded, Lock&& function) {
  return lock_call::take(
      lock, writing(call), caller, recorded, function,
      [&] { return real().pthread_rwlock_trywrlock(lock); }, [&] { take_away(lock); });
}

[[gnu::noinline]] int rdlock(pthread_rwlock_t* lock, void* caller, bool recorded) {
  return read(lock, Call::kRwlockRdlock, caller, recorded,
              [&] { return real().pthread_rwlock_rdlock(lock); });
}
[[gnu::noinline]] int tryrdlock(pthread_rwlock_t* lock, void* caller, bool recorded) {
  return read(lock, Call::kRwlockTryrdlock, caller, recorded,
              [&] { return real().pthread_rwlock_tryrdlock(lock); });
}
[[gnu::noinline]] int timedrdlock(pthread_rwlock_t* lock, const timespec* until, void* caller,
                                  bool recorded) {
  return read(lock, Call::kRwlockTimedrdlock, caller, recorded,
              [&] { return real().pthread_rwlock_timedrdlock(lock, until); });
}
[[gnu::noinline]] int clockrdlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* until,
                                  void* caller, bool recorded) {
  return read(lock, Call::kRwlockClockrdlock, caller, recorded,
              [&] { return real().pthread_rwlock_clockrdlock(lock, clock, until); });
}
[[gnu::noinline]] int wrlock(pthread_rwlock_t* lock, void* caller, bool recorded) {
  return write(lock, Call::kRwlockWrlock, caller, recorded,
               [&] { return real().pthread_rwlock_wrlock(lock); });
}
[[gnu::noinline]] int trywrlock(pthread_rwlock_t* lock, void* caller, bool recorded) {
  return write(lock, Call::kRwlockTrywrlock, caller, recorded,
               [&] { return real().pthread_rwlock_trywrlock(lock); });
}
[[gnu::noinline]] int timedwrlock(pthread_rwlock_t* lock, const timespec* until, void* caller,
                                  bool recorded) {
  return write(lock, Call::kRwlockTimedwrlock, caller, recorded,
               [&] { return real().pthread_rwlock_timedwrlock(lock, until); });
}
[[gnu::noinline]] int clockwrlock(pthread_rwlock_t* lock, clockid_t clock, const timespec* until,
                                  void* caller, bool recorded) {
  return write(lock, Call::kRwlockClockwrlock, caller, recorded,
               [&] { return real().pthread_rwlock_clockwrlock(lock, clock, until); });
}

/// A writer that forked: glibc compares __cur_writer with the caller's TID to tell which kind of
/// lock it gives up, takes the child for a reader, and leaves the count wrong
/// (nptl/pthread_rwlock_unlock.c).
[[gnu::noinline]] int unlock_slowly(pthread_rwlock_t* lock, void* caller) {
  ThreadRecord* thread = observed(Call::kRwlockUnlock, caller);
  std::int32_t writer = lock_words::rwlock_writer(lock);
  bool stale = thread != nullptr && thread->guarded && writer != 0 && writer != thread->tid;
  if (stale)
    meet_stale_owner(*thread, lock, record::LockType::kRwlock, 0, writer, Call::kRwlockUnlock,
                     caller);
  else
    lock_call::give_up_slowly(lock);
  return real().pthread_rwlock_unlock(lock);
}

}  // namespace

FORKSCOPE_EXPORT int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept {
  if (lock_call::begin(lock, reading(Call::kRwlockRdlock), FORKSCOPE_CALL_SITE)) [[likely]]
    return lock_call::finish(lock, real_functions.pthread_rwlock_rdlock(lock));
  bool recorded = lock_call::record_call(lock, reading(Call::kRwlockRdlock), FORKSCOPE_CALL_SITE);
  return rdlock(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_tryrdlock(pthread_rwlock_t* lock) noexcept {
  bool recorded =
      lock_call::record_call(lock, reading(Call::kRwlockTryrdlock), FORKSCOPE_CALL_SITE);
  return tryrdlock(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_timedrdlock(pthread_rwlock_t* __restrict lock,
                                                const timespec* __restrict until) noexcept {
  bool recorded =
      lock_call::record_call(lock, reading(Call::kRwlockTimedrdlock), FORKSCOPE_CALL_SITE);
  return timedrdlock(lock, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_clockrdlock(pthread_rwlock_t* __restrict lock, clockid_t clock,
                                                const timespec* __restrict until) noexcept {
  bool recorded =
      lock_call::record_call(lock, reading(Call::kRwlockClockrdlock), FORKSCOPE_CALL_SITE);
  return clockrdlock(lock, clock, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept {
  if (lock_call::begin(lock, writing(Call::kRwlockWrlock), FORKSCOPE_CALL_SITE)) [[likely]]
    return lock_call::finish(lock, real_functions.pthread_rwlock_wrlock(lock));
  bool recorded = lock_call::record_call(lock, writing(Call::kRwlockWrlock), FORKSCOPE_CALL_SITE);
  return wrlock(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_trywrlock(pthread_rwlock_t* lock) noexcept {
  bool recorded =
      lock_call::record_call(lock, writing(Call::kRwlockTrywrlock), FORKSCOPE_CALL_SITE);
  return trywrlock(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_timedwrlock(pthread_rwlock_t* __restrict lock,
                                                const timespec* __restrict until) noexcept {
  bool recorded =
      lock_call::record_call(lock, writing(Call::kRwlockTimedwrlock), FORKSCOPE_CALL_SITE);
  return timedwrlock(lock, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_clockwrlock(pthread_rwlock_t* __restrict lock, clockid_t clock,
                                                const timespec* __restrict until) noexcept {
  bool recorded =
      lock_call::record_call(lock, writing(Call::kRwlockClockwrlock), FORKSCOPE_CALL_SITE);
  return clockwrlock(lock, clock, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_rwlock_unlock(pthread_rwlock_t* lock) noexcept {
  if (!lock_call::give_up_newest(lock)) [[unlikely]]
    return unlock_slowly(lock, __builtin_return_address(0));
  return real_functions.pthread_rwlock_unlock(lock);
}

FORKSCOPE_EXPORT int pthread_rwlock_init(pthread_rwlock_t* __restrict lock,
                                         const pthread_rwlockattr_t* __restrict attr) noexcept {
  int result = real().pthread_rwlock_init(lock, attr);
  if (result == 0) lock_call::forget(lock, record::LockType::kRwlock);
  if (result == 0) births::note(lock);
  return result;
}

FORKSCOPE_EXPORT int pthread_rwlock_destroy(pthread_rwlock_t* lock) noexcept {
  int result = real().pthread_rwlock_destroy(lock);
  births::forget(lock);
  if (result == 0) lock_call::forget(lock, record::LockType::kRwlock);
  return result;
}
