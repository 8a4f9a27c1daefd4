// A lock as GLib makes it, of a bare word, under GLib's name for the function that waits: nothing in
// its memory says who holds it.
#pragma once

#include <stddef.h>
#include <sys/syscall.h>
#include <unistd.h>

/// FUTEX_WAIT_PRIVATE of linux/futex.h, which musl-gcc does not find.
enum { kFutexWait = 128 };

/// 0 free, 1 taken, 2 taken and waited for.
__attribute__((noinline)) static void g_mutex_lock(int* word) {
  int seen = 0;
  if (__atomic_compare_exchange_n(word, &seen, 1, 0, __ATOMIC_ACQUIRE, __ATOMIC_RELAXED)) return;
  while (__atomic_exchange_n(word, 2, __ATOMIC_ACQUIRE) != 0)
    syscall(SYS_futex, word, kFutexWait, 2, NULL, NULL, 0);
}
