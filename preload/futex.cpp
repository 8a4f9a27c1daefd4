// futex calls through syscall(): the locks and waits of Rust's standard library, parking_lot,
// Abseil, folly and std::atomic::wait, once they are contended.
#include <linux/futex.h>

#include <cerrno>

#include "detector/tracker/orphan.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;
using record::Call;

namespace {

bool waits(int command) { return command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET; }

bool wakes(int command) {
  return command == FUTEX_WAKE || command == FUTEX_WAKE_BITSET || command == FUTEX_REQUEUE ||
         command == FUTEX_CMP_REQUEUE || command == FUTEX_WAKE_OP;
}

/// Whether the kernel would put the caller to sleep, for others of this process only to wake.
bool sleeps_in_private(const void* word, int operation, int value) {
  if (!sys::equals(word, value)) return false;  // EAGAIN, or no memory at all
  return (operation & FUTEX_PRIVATE_FLAG) != 0 || !sys::is_shared(word);
}

template <typename Wait>
[[gnu::always_inline]] inline long wait_on(ThreadRecord& thread, const void* word, Call call,
                                           int operation, int value, const void* caller,
                                           Wait&& wait) {
  std::uint64_t finding = 0;
  if (thread.guarded != 0 && call == Call::kFutexWait && sleeps_in_private(word, operation, value))
      [[unlikely]]
    finding = meet_wait(thread, {word, 4, record::LockType::kFutex}, call, caller);
  thread.wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread.waiting.store(record::ThreadState::kFutexWait, std::memory_order_relaxed);
  thread.wait_object.store(word, std::memory_order_release);
  long result = wait();
  thread.wait_object.store(nullptr, std::memory_order_release);
  thread.waiting.store(record::ThreadState::kRunning, std::memory_order_relaxed);
  if (finding != 0) [[unlikely]] {
    int error = errno;
    call_returned(finding, word, true);
    errno = error;
  }
  return result;
}

}  // namespace

/// Jumped to from syscall.S.
extern "C" [[gnu::visibility("hidden")]] long forkscope_syscall_futex(long number, const void* word,
                                                                      long operation, long value,
                                                                      const void* limit,
                                                                      long second,
                                                                      long third) noexcept {
  auto forward = [&] {
    return real().syscall(number, word, operation, value, limit, second, third);
  };
  const void* caller = __builtin_return_address(0);
  int command = int(operation) & FUTEX_CMD_MASK;
  bool wait = waits(command);
  if (!wait && !wakes(command)) return forward();
  Call call = wait && limit != nullptr ? Call::kFutexTimedwait : Call::kFutexWait;
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) return forward();
  if (wait) return wait_on(*thread, word, call, int(operation), int(value), caller, forward);
  thread->signalled[thread->signalled_next++ % 4] = word;
  return forward();
}
