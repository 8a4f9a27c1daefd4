// A futex call as libgomp and libc make it inside, from where nobody can interpose it.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>

namespace work_pool {

[[gnu::always_inline]] static inline void futex(std::atomic<int>* word, int operation, int value) {
#if defined(__x86_64__)
  register long timeout asm("r10") = 0;
  long result;
  asm volatile("syscall"
               : "=a"(result)
               : "a"(SYS_futex), "D"(word), "S"(operation | FUTEX_PRIVATE_FLAG), "d"(value),
                 "r"(timeout)
               : "rcx", "r11", "memory");
#else
#error "a futex system call of this architecture, inline"
#endif
}

}  // namespace work_pool
