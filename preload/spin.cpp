// pthread_spin_*.
#include "preload/lock_call.hpp"

using namespace forkscope;
using lock_call::Kind;
using record::Call;

namespace {

constexpr Kind kLock{record::LockType::kSpinlock, 0, Call::kSpinLock};
constexpr Kind kTrylock{record::LockType::kSpinlock, 0, Call::kSpinTrylock};

template <typename Lock>
[[gnu::always_inline]] inline int take(pthread_spinlock_t* lock, const Kind& kind, void* caller,
                                       bool recorded, Lock&& function) {
  return lock_call::take(
      const_cast<const int*>(lock), kind, caller, recorded, function,
      [&] { return real().pthread_spin_trylock(lock); }, [&] { real().pthread_spin_unlock(lock); });
}
[[gnu::noinline]] int lock_spin(pthread_spinlock_t* lock, void* caller, bool recorded) {
  return take(lock, kLock, caller, recorded, [&] { return real().pthread_spin_lock(lock); });
}
[[gnu::noinline]] int trylock(pthread_spinlock_t* lock, void* caller, bool recorded) {
  return take(lock, kTrylock, caller, recorded, [&] { return real().pthread_spin_trylock(lock); });
}

[[gnu::noinline]] int unlock_slowly(pthread_spinlock_t* lock) {
  lock_call::give_up_slowly(const_cast<const int*>(lock));
  return real().pthread_spin_unlock(lock);
}

}  // namespace

FORKSCOPE_EXPORT int pthread_spin_lock(pthread_spinlock_t* lock) noexcept {
  if (lock_call::begin(const_cast<const int*>(lock), kLock, FORKSCOPE_CALL_SITE)) [[likely]]
    return lock_call::finish(const_cast<const int*>(lock), real_functions.pthread_spin_lock(lock));
  bool recorded = lock_call::record_call(const_cast<const int*>(lock), kLock, FORKSCOPE_CALL_SITE);
  return lock_spin(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_spin_trylock(pthread_spinlock_t* lock) noexcept {
  bool recorded =
      lock_call::record_call(const_cast<const int*>(lock), kTrylock, FORKSCOPE_CALL_SITE);
  return trylock(lock, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int pthread_spin_unlock(pthread_spinlock_t* lock) noexcept {
  if (!lock_call::give_up_newest(const_cast<const int*>(lock))) [[unlikely]]
    return unlock_slowly(lock);
  return real_functions.pthread_spin_unlock(lock);
}

FORKSCOPE_EXPORT int pthread_spin_init(pthread_spinlock_t* lock, int pshared) noexcept {
  int result = real().pthread_spin_init(lock, pshared);
  if (result == 0) lock_call::forget(const_cast<const int*>(lock), record::LockType::kSpinlock);
  return result;
}

FORKSCOPE_EXPORT int pthread_spin_destroy(pthread_spinlock_t* lock) noexcept {
  int result = real().pthread_spin_destroy(lock);
  if (result == 0) lock_call::forget(const_cast<const int*>(lock), record::LockType::kSpinlock);
  return result;
}
