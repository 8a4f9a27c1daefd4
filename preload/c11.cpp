// C11 threads. glibc implements them with its pthread functions, but calls those by internal names
// (nptl/mtx_lock.c and the like), so each needs an interposer of its own.
#include <threads.h>

#include "preload/cond_call.hpp"
#include "preload/mutex_call.hpp"

using namespace forkscope;
using record::Call;

static_assert(sizeof(mtx_t) == sizeof(pthread_mutex_t) && sizeof(cnd_t) == sizeof(pthread_cond_t));
static_assert(thrd_success == 0, "as errno values have it");

namespace {

[[gnu::noinline]] int lock(mtx_t* mutex, void* caller, bool recorded) {
  int result = mutex_call::take(mutex, Call::kMtxLock, caller, recorded,
                                [&] { return real().mtx_lock(mutex); });
  // A child that waits for a while does it with a pthread function.
  return result == 0 ? thrd_success : thrd_error;
}
[[gnu::noinline]] int trylock(mtx_t* mutex, void* caller, bool recorded) {
  return mutex_call::take(mutex, Call::kMtxTrylock, caller, recorded,
                          [&] { return real().mtx_trylock(mutex); });
}
[[gnu::noinline]] int timedlock(mtx_t* mutex, const timespec* until, void* caller, bool recorded) {
  return mutex_call::take(mutex, Call::kMtxTimedlock, caller, recorded,
                          [&] { return real().mtx_timedlock(mutex, until); });
}
[[gnu::noinline]] int unlock(mtx_t* mutex, void* caller) {
  return mutex_call::give_up(mutex, Call::kMtxUnlock, caller, thrd_error,
                             [&] { return real().mtx_unlock(mutex); });
}
[[gnu::noinline]] int wait(cnd_t* condition, mtx_t* mutex, void* caller) {
  return cond_call::wait_on(condition, mutex, Call::kCndWait, caller,
                            [&] { return real().cnd_wait(condition, mutex); });
}
[[gnu::noinline]] int timedwait(cnd_t* condition, mtx_t* mutex, const timespec* until,
                                void* caller) {
  return cond_call::wait_on(condition, mutex, Call::kCndTimedwait, caller,
                            [&] { return real().cnd_timedwait(condition, mutex, until); });
}

}  // namespace

FORKSCOPE_EXPORT int mtx_lock(mtx_t* mutex) {
  ThreadRecord* thread = mutex_call::short_path_to_lock(mutex);
  if (thread != nullptr && !mutex_call::owned(*thread, mutex) &&
      table::push(*thread, mutex, FORKSCOPE_CALL_SITE)) [[likely]]
    return real_functions.mtx_lock(mutex);
  bool recorded = mutex_call::record_call(mutex, FORKSCOPE_CALL_SITE);
  return lock(mutex, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int mtx_trylock(mtx_t* mutex) {
  bool recorded = mutex_call::record_call(mutex, FORKSCOPE_CALL_SITE);
  return trylock(mutex, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int mtx_timedlock(mtx_t* __restrict mutex, const timespec* __restrict until) {
  bool recorded = mutex_call::record_call(mutex, FORKSCOPE_CALL_SITE);
  return timedlock(mutex, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int mtx_unlock(mtx_t* mutex) {
  ThreadRecord* thread = mutex_call::short_path_to_unlock(mutex);
  if (thread != nullptr && (!mutex_call::outermost(mutex) || mutex_call::pop_newest(*thread, mutex))) [[likely]]
    return real_functions.mtx_unlock(mutex);
  return unlock(mutex, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int mtx_init(mtx_t* mutex, int type) {
  int result = real().mtx_init(mutex, type);
  if (result == thrd_success) mutex_call::forget(mutex);
  return result;
}

FORKSCOPE_EXPORT void mtx_destroy(mtx_t* mutex) {
  real().mtx_destroy(mutex);
  mutex_call::forget(mutex);
}

FORKSCOPE_EXPORT int cnd_wait(cnd_t* condition, mtx_t* mutex) {
  cond_call::record_call(mutex, __builtin_return_address(0), __builtin_dwarf_cfa());
  return wait(condition, mutex, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int cnd_timedwait(cnd_t* __restrict condition, mtx_t* __restrict mutex,
                                   const timespec* __restrict until) {
  cond_call::record_call(mutex, __builtin_return_address(0), __builtin_dwarf_cfa());
  return timedwait(condition, mutex, until, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int cnd_signal(cnd_t* condition) {
  return cond_call::signal(condition, Call::kCndSignal, __builtin_return_address(0), false,
                           [&] { return real().cnd_signal(condition); });
}

FORKSCOPE_EXPORT int cnd_broadcast(cnd_t* condition) {
  return cond_call::signal(condition, Call::kCndBroadcast, __builtin_return_address(0), true,
                           [&] { return real().cnd_broadcast(condition); });
}

FORKSCOPE_EXPORT void cnd_destroy(cnd_t* condition) {
  cond_call::destroy(condition, Call::kCndDestroy, __builtin_return_address(0), [&] {
    real().cnd_destroy(condition);
    return 0;
  });
}
