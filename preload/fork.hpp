// What the wrappers of all ways to create a process share. Async-signal-safe.
#pragma once

#include <sys/types.h>

#include <cerrno>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/inject.hpp"
#include "preload/observed.hpp"

namespace forkscope {

/// The calling thread's at-fork handlers may run until it is taken back.
inline void set_inside_fork(bool inside) {
  if (ThreadRecord* thread = detail::self) thread->fork.inside = inside;
}

/// The call is to fail: errno is set.
inline bool fails_as_asked(record::Api api, const void* caller) {
  const int error = inject::fork_fails(api, caller);
  if (error == 0) return false;
  note_spawn_failed(api, error);
  errno = error;
  return true;
}

/// After fork_begin().
inline void begin_injected(record::Api api, const void* caller) {
  inject::fork_begins(caller);
  // Else the last at-fork handler does it, later.
  if (record::handlers_of(api) == record::Handlers::kSkipped) inject::before_call();
}

/// A call that copies the process and returns in both.
template <typename Fork>
[[gnu::always_inline]] inline long do_fork(record::Api api, const void* caller, Fork&& fork) {
  observed(record::Call::kFork, caller);  // a vfork child that forks is told; its copy is tracked
  if (inject::armed && fails_as_asked(api, caller)) return -1;
  fork_begin(api, caller);
  if (inject::armed) begin_injected(api, caller);
  set_inside_fork(true);
  long child = fork();
  int error = errno;
  set_inside_fork(false);
  if (inject::armed && child != 0) inject::call_done();  // unless an at-fork handler did it
  if (child == 0)
    fork_in_child();  // the at-fork handler did it, unless there was none to call
  else
    fork_in_parent(child < 0 ? error : 0);
  if (ThreadRecord* thread = detail::self) handler_trace::finish(*thread, child == 0, child < 0);
  if (inject::armed && child >= 0) inject::fork_returns(child == 0, caller);
  errno = error;
  return child;
}

/// Before a child is made that runs in our memory (vfork, CLONE_VM). `stops` says that the calling
/// thread waits until the child has gone on to exec or is over, and the child is using its TLS.
/// With `returns` shared_clone_returned() follows; else it is counted here, whatever comes of it.
void before_shared_clone(record::Api api, const void* caller, bool stops, bool returns);

/// After it, in the process that made the child: `result` is the kernel's. Gives it as libc does.
long shared_clone_returned(record::Api api, long result, const void* caller);

/// Whether `function`, next after an interposer of ours, is libc's own.
bool is_libcs(const void* function);

}  // namespace forkscope
