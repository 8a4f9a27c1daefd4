// pthread_cond_*.
#include "preload/cond_call.hpp"

using namespace forkscope;
using namespace forkscope::cond_call;
using record::Call;

namespace {

// Out of line, so that the interposers need no frame of their own.
[[gnu::noinline]] int wait(pthread_cond_t* condition, pthread_mutex_t* mutex, void* caller) {
  return wait_on(condition, mutex, Call::kCondWait, caller,
                 [&] { return real().pthread_cond_wait(condition, mutex); });
}
[[gnu::noinline]] int timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                const timespec* until, void* caller) {
  return wait_on(condition, mutex, Call::kCondTimedwait, caller,
                 [&] { return real().pthread_cond_timedwait(condition, mutex, until); });
}
[[gnu::noinline]] int clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                const timespec* until, void* caller) {
  return wait_on(condition, mutex, Call::kCondClockwait, caller,
                 [&] { return real().pthread_cond_clockwait(condition, mutex, clock, until); });
}

}  // namespace

FORKSCOPE_EXPORT int pthread_cond_wait(pthread_cond_t* __restrict condition,
                                       pthread_mutex_t* __restrict mutex) {
  record_call(mutex, __builtin_return_address(0), __builtin_dwarf_cfa());
  return wait(condition, mutex, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int pthread_cond_timedwait(pthread_cond_t* __restrict condition,
                                            pthread_mutex_t* __restrict mutex,
                                            const timespec* __restrict until) {
  record_call(mutex, __builtin_return_address(0), __builtin_dwarf_cfa());
  return timedwait(condition, mutex, until, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int pthread_cond_clockwait(pthread_cond_t* __restrict condition,
                                            pthread_mutex_t* __restrict mutex, clockid_t clock,
                                            const timespec* __restrict until) {
  record_call(mutex, __builtin_return_address(0), __builtin_dwarf_cfa());
  return clockwait(condition, mutex, clock, until, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int pthread_cond_signal(pthread_cond_t* condition) noexcept {
  return cond_call::signal(condition, Call::kCondSignal, __builtin_return_address(0), false,
                           [&] { return real().pthread_cond_signal(condition); });
}

FORKSCOPE_EXPORT int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  return cond_call::signal(condition, Call::kCondBroadcast, __builtin_return_address(0), true,
                           [&] { return real().pthread_cond_broadcast(condition); });
}

FORKSCOPE_EXPORT int pthread_cond_destroy(pthread_cond_t* condition) noexcept {
  return destroy(condition, Call::kCondDestroy, __builtin_return_address(0),
                 [&] { return real().pthread_cond_destroy(condition); });
}
