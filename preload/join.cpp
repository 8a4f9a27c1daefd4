// pthread_join and its relatives, thrd_join: a forked child can join a thread it does not have.
//
// pthread_join is a cancellation point, so nothing here needs to be undone: a thread that is
// cancelled in it is at its end, and so is what its record says about a wait.
#include <threads.h>

#include "detector/tracker/lost_join.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

template <typename Join>
[[gnu::always_inline]] inline int join(pthread_t handle, record::Call call, void* caller,
                                       Join&& join_it) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) return join_it();
  std::uint64_t finding = 0;
  if (thread->guarded) [[unlikely]]
    finding = meet_join(*thread, handle, call, caller);
  thread->wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread->waiting.store(record::ThreadState::kJoining, std::memory_order_relaxed);
  thread->wait_object.store(reinterpret_cast<const void*>(handle), std::memory_order_release);
  int result = join_it();
  thread->wait_object.store(nullptr, std::memory_order_release);
  thread->waiting.store({}, std::memory_order_relaxed);
  if (finding != 0) [[unlikely]]
    join_returned(finding);
  return result;
}

}  // namespace

FORKSCOPE_EXPORT int pthread_join(pthread_t handle, void** result) {
  return join(handle, record::Call::kJoin, __builtin_return_address(0),
              [&] { return real().pthread_join(handle, result); });
}

FORKSCOPE_EXPORT int pthread_tryjoin_np(pthread_t handle, void** result) noexcept {
  return join(handle, record::Call::kTryjoin, __builtin_return_address(0),
              [&] { return real().pthread_tryjoin_np(handle, result); });
}

FORKSCOPE_EXPORT int pthread_timedjoin_np(pthread_t handle, void** result, const timespec* until) {
  return join(handle, record::Call::kTimedjoin, __builtin_return_address(0),
              [&] { return real().pthread_timedjoin_np(handle, result, until); });
}

FORKSCOPE_EXPORT int pthread_clockjoin_np(pthread_t handle, void** result, clockid_t clock,
                                          const timespec* until) {
  return join(handle, record::Call::kClockjoin, __builtin_return_address(0),
              [&] { return real().pthread_clockjoin_np(handle, result, clock, until); });
}

FORKSCOPE_EXPORT int thrd_join(thrd_t handle, int* result) {
  return join(handle, record::Call::kThrdJoin, __builtin_return_address(0),
              [&] { return real().thrd_join(handle, result); });
}
