// pthread_barrier_wait and _destroy.
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/orphan.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;
using record::Call;

namespace {

WaitObject object(const pthread_barrier_t* barrier) {
  return {barrier, lock_words::size(record::LockType::kBarrier), record::LockType::kBarrier};
}

}  // namespace

FORKSCOPE_EXPORT int pthread_barrier_wait(pthread_barrier_t* barrier) noexcept {
  void* caller = __builtin_return_address(0);
  ThreadRecord* thread = observed(Call::kBarrierWait, caller);
  if (thread == nullptr) return real().pthread_barrier_wait(barrier);
  std::uint64_t finding = 0;
  if (thread->guarded && lock_words::barrier_waits(barrier)) [[unlikely]]
    finding = meet_wait(*thread, object(barrier), Call::kBarrierWait, caller);
  thread->wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread->waiting.store(record::ThreadState::kBarrierWait, std::memory_order_relaxed);
  thread->wait_object.store(barrier, std::memory_order_release);
  int result = real().pthread_barrier_wait(barrier);
  thread->wait_object.store(nullptr, std::memory_order_release);
  if (finding != 0) [[unlikely]]
    call_returned(finding, barrier, true);
  return result;
}

/// Waits until all have left it, and the lost ones never do (nptl/pthread_barrier_destroy.c).
FORKSCOPE_EXPORT int pthread_barrier_destroy(pthread_barrier_t* barrier) noexcept {
  void* caller = __builtin_return_address(0);
  ThreadRecord* thread = observed(Call::kBarrierDestroy, caller);
  std::uint64_t finding = 0;
  if (thread != nullptr && thread->guarded && lock_words::barrier_has_waiters(barrier)) [[unlikely]]
    finding = meet_waiters(*thread, object(barrier), Call::kBarrierDestroy, caller);
  int result = real().pthread_barrier_destroy(barrier);
  if (finding != 0) [[unlikely]]
    call_returned(finding, barrier, true);
  return result;
}
