// The functions behind the interposers: the next definition of each name after this library.
//
// Resolved once by the constructor; before it (a constructor of another preloaded library may lock)
// real() resolves on demand. dlsym allocates nothing unless it fails (glibc 2.34). Thread-safe:
// resolving twice writes the same pointers.
#pragma once

#include <pthread.h>
#include <sched.h>
#include <spawn.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>

#define FORKSCOPE_EXPORT extern "C" [[gnu::visibility("default")]]

extern "C" {
// Declared by no header.
pid_t __fork() noexcept;
int __register_atfork(void (*prepare)(), void (*parent)(), void (*child)(), void* dso) noexcept;
}

namespace forkscope {

struct Real {
#define FORKSCOPE_REAL(name, version) decltype(&::name) name;
#include "preload/real.def"
#undef FORKSCOPE_REAL
};

extern Real real_functions;
extern std::atomic<bool> real_resolved;
void resolve_real();

inline const Real& real() {
  if (!real_resolved.load(std::memory_order_acquire)) [[unlikely]]
    resolve_real();
  return real_functions;
}

}  // namespace forkscope
