// fork, __fork, _Fork, clone. vfork is in vfork.S, posix_spawn in spawn.cpp.
#include <cerrno>
#include <cstdarg>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"

using namespace forkscope;

namespace {

template <typename Fork>
[[gnu::always_inline]] inline pid_t do_fork(record::Api api, const void* caller, Fork fork) {
  fork_begin(api, caller);
  pid_t child = fork();
  int error = errno;
  if (child == 0)
    fork_in_child();  // the at-fork handler did it, unless there was none to call (_Fork)
  else
    fork_in_parent(child < 0 ? error : 0);
  errno = error;
  return child;
}

struct CloneStart {
  int (*function)(void*);
  void* argument;
};

/// First code of a clone() child with a copy of our memory: the caller's stack is in the copy.
int run_clone(void* argument) {
  CloneStart start = *static_cast<CloneStart*>(argument);
  fork_in_child();
  return start.function(start.argument);
}

}  // namespace

FORKSCOPE_EXPORT pid_t fork() noexcept {
  return do_fork(record::Api::kFork, __builtin_return_address(0), real().fork);
}

FORKSCOPE_EXPORT pid_t __fork() noexcept {
  return do_fork(record::Api::kFork, __builtin_return_address(0), real().__fork);
}

FORKSCOPE_EXPORT pid_t _Fork() noexcept {
  return do_fork(record::Api::k_Fork, __builtin_return_address(0), real()._Fork);
}

FORKSCOPE_EXPORT int clone(int (*function)(void*), void* stack, int flags, void* argument,
                           ...) noexcept {
  va_list more;
  va_start(more, argument);
  auto* parent_tid = va_arg(more, pid_t*);
  void* tls = va_arg(more, void*);
  auto* child_tid = va_arg(more, pid_t*);
  va_end(more);
  if ((flags & CLONE_VM) != 0 || function == nullptr) {
    if ((flags & CLONE_THREAD) == 0) process.shares_memory.store(true, std::memory_order_relaxed);
    int child = real().clone(function, stack, flags, argument, parent_tid, tls, child_tid);
    if (child > 0 && (flags & CLONE_THREAD) == 0)
      note_spawn(record::Api::kClone, child, __builtin_return_address(0));
    return child;
  }
  CloneStart start{function, argument};
  fork_begin(record::Api::kClone, __builtin_return_address(0));
  int child = real().clone(run_clone, stack, flags, &start, parent_tid, tls, child_tid);
  int error = errno;
  fork_in_parent(child < 0 ? error : 0);
  errno = error;
  return child;
}

/// Where vfork.S jumps to.
extern "C" {
[[gnu::visibility("hidden")]] constinit decltype(&::vfork) forkscope_real_vfork = nullptr;
}

/// Called by vfork.S in the parent, before the jump to the real one.
extern "C" [[gnu::visibility("hidden")]] void forkscope_before_vfork(
    const void* return_address) noexcept {
  forkscope_real_vfork = real().vfork;
  int error = errno;
  ThreadRecord* thread = current();
  process.shares_memory.store(true, std::memory_order_relaxed);
  if (process.pid == sys::getpid()) {  // else: a vfork child that calls vfork
    std::uint64_t id = note_spawn(record::Api::kVfork, 0, return_address);
    if (thread != nullptr) thread->vfork = id;
  }
  errno = error;
}
