// What the kernel says a thread sleeps in: /proc/.../syscall. Async-signal-safe, thread-safe, safe
// in a forked child; allocates nothing.
#pragma once

#include <cstdint>

namespace forkscope {

/// A system call that a thread is blocked in.
struct KernelWait {
  std::uint64_t number, arguments[6], sp, pc;
  bool operator==(const KernelWait&) const = default;
  /// In a futex without a time limit: arguments[0] is the word.
  bool is_futex_for_ever() const;
};

/// Of thread `id`, below `folder`: "/proc/" or "/proc/self/task/". False when it is not blocked in
/// a call, is gone, or cannot be asked.
bool read_kernel_wait(const char* folder, std::int32_t id, KernelWait& wait);

}  // namespace forkscope
