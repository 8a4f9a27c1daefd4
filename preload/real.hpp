// The functions behind the interposers: the next definition of each name after this library.
//
// Resolved once by the constructor; before it (a constructor of another preloaded library may lock)
// real() resolves on demand. dlsym allocates nothing unless it fails (glibc 2.34). Thread-safe:
// resolving twice writes the same pointers.
#pragma once

#include <dlfcn.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <pthread.h>
#include <pty.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <threads.h>
#include <unistd.h>
#include <wordexp.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>

#define FORKSCOPE_EXPORT extern "C" [[gnu::visibility("default")]]

extern "C" {
// Declared by no header.
pid_t __fork() noexcept;
sighandler_t bsd_signal(int signal_number, sighandler_t handler) noexcept;
int __sigaction(int signal_number, const struct sigaction* __restrict action,
                struct sigaction* __restrict old) noexcept;
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso) noexcept;
}

namespace forkscope {

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"  // sigset
struct Real {
#define FORKSCOPE_REAL(name) decltype(&::name) name;
#include "preload/real.def"
#undef FORKSCOPE_REAL
};
#pragma GCC diagnostic pop

/// Hidden here too, where it is only declared: a call through it is one instruction then.
extern Real real_functions [[gnu::visibility("hidden")]];
extern std::atomic<bool> real_resolved;
/// Whether who intercepts pthread_mutex_lock behind this library intercepts pthread_mutex_clocklock,
/// too. ThreadSanitizer's runtime of GCC 12 does not: it must not see an unlock without its lock.
extern std::atomic<bool> clocklock_is_of_the_same;
void resolve_real();

/// The loaded object that an address lies in, or null. Async-signal-safe.
const link_map* object_of(const void* address);

inline const Real& real() {
  if (!real_resolved.load(std::memory_order_acquire)) [[unlikely]]
    resolve_real();
  return real_functions;
}

}  // namespace forkscope
