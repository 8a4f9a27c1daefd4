// pthread_cond_*. A wait releases its mutex and takes it again before it returns: the mutex keeps
// its slot all the while (the owner word says when it counts), and the call site of the wait
// becomes the place where it was acquired.
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/registry.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

/// What each wait begins with; the second half is its tail call (see table::capture).
[[gnu::always_inline]] inline void record_call(pthread_mutex_t* mutex, void* caller, void* cfa) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->top == thread->slots) return;
  Slot& top = thread->top[-1];
  if (top.lock.load(std::memory_order_relaxed) == mutex) table::capture(*thread, top, caller, cfa);
}

template <typename Wait>
[[gnu::always_inline]] inline int wait_on(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                          bool timed, void* caller, Wait&& wait) {
  ThreadRecord* thread = current();
  if (thread == nullptr) [[unlikely]]
    return wait();
  std::uint64_t finding = 0;
  if (thread->guarded && !timed) [[unlikely]]
    finding = meet_condition(*thread, condition, mutex, caller);
  thread->wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread->wait_mutex.store(mutex, std::memory_order_relaxed);
  thread->wait_object.store(condition, std::memory_order_release);
  int result = wait();
  thread->wait_object.store(nullptr, std::memory_order_release);
  thread->wait_mutex.store(nullptr, std::memory_order_relaxed);
  if (finding != 0) [[unlikely]]
    call_returned(finding, condition, true);
  return result;
}

// Out of line, so that the interposers need no frame of their own.
[[gnu::noinline]] int wait(pthread_cond_t* condition, pthread_mutex_t* mutex, void* caller) {
  return wait_on(condition, mutex, false, caller,
                 [&] { return real().pthread_cond_wait(condition, mutex); });
}
[[gnu::noinline]] int timedwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                const timespec* until, void* caller) {
  return wait_on(condition, mutex, true, caller,
                 [&] { return real().pthread_cond_timedwait(condition, mutex, until); });
}
[[gnu::noinline]] int clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex, clockid_t clock,
                                const timespec* until, void* caller) {
  return wait_on(condition, mutex, true, caller,
                 [&] { return real().pthread_cond_clockwait(condition, mutex, clock, until); });
}

/// Remembers who signals what: where a forked child waits in vain, that is who is missing.
void note_signal(const pthread_cond_t* condition) {
  ThreadRecord* thread = current();
  if (thread == nullptr) return;
  thread->signalled[thread->signalled_next++ % 4] = condition;
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
  note_signal(condition);
  return real().pthread_cond_signal(condition);
}

FORKSCOPE_EXPORT int pthread_cond_broadcast(pthread_cond_t* condition) noexcept {
  note_signal(condition);
  return real().pthread_cond_broadcast(condition);
}
