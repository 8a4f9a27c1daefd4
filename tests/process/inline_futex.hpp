// A futex call as libgomp and libc make it inside, from where nobody can interpose it.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>

#include <atomic>
#include <ctime>

namespace work_pool {

[[gnu::always_inline]] static inline void futex(std::atomic<int>* word, int operation, int value,
                                                 const timespec* limit = nullptr) {
#if defined(__x86_64__)
  register const timespec* timeout asm("r10") = limit;
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
