// fork, __fork, _Fork, clone, and what vfork.S and syscall.S call. posix_spawn is in spawn.cpp,
// what forks inside libc in process.cpp.
#include "preload/fork.hpp"

#include <dlfcn.h>

#include <cstdarg>

#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"
#include "preload/vfork_child.hpp"

using namespace forkscope;
using record::Api;

namespace forkscope {

namespace {

void share_for_good() { process.shares_memory.fetch_add(1, std::memory_order_relaxed); }

}  // namespace

void before_shared_clone(Api api, const void* caller, bool stops, bool returns) {
  int error = errno;
  ThreadRecord* thread = observed(record::Call::kVfork, caller);
  // A vfork child that calls vfork: what its thread's record says is its parent's business.
  bool borrowed = in_borrowed_memory();
  std::uint64_t id = 0;
  if (!returns && !borrowed)
    id = note_spawn(api, 0, caller);
  else if (!borrowed)
    id = process.next_fork_id();
  if (thread != nullptr && !borrowed) {
    thread->vfork = id;
    if (stops)
      open_vfork(*thread, id);
    else
      share_for_good();
  } else if (!borrowed || !stops) {
    share_for_good();
  }
  errno = error;
}

long shared_clone_returned(Api api, long result, const void* caller) {
  int error = errno;
  ThreadRecord* thread = detail::self;
  bool own = thread != nullptr && !in_borrowed_memory();
  std::uint64_t id = own ? thread->vfork : process.next_fork_id();
  if (own) close_vfork(*thread);
  if (result < 0) {
    note_spawn_failed(api, int(-result), id);
    errno = int(-result);
    return -1;
  }
  note_spawn(api, std::int32_t(result), caller, id);
  errno = error;
  return result;
}

bool is_libcs(const void* function) {
  const link_map* object = object_of(function);
  return object != nullptr &&
         object == object_of(reinterpret_cast<const void*>(&__errno_location));
}

namespace {

struct CloneStart {
  int (*function)(void*);
  void* argument;
};

/// First code of a clone() child with a copy of our memory: the caller's stack is in the copy.
int run_clone(void* argument) {
  CloneStart start = *static_cast<CloneStart*>(argument);
  fork_in_child();
  if (inject::armed) inject::fork_returns(true, __builtin_return_address(0));
  return start.function(start.argument);
}

}  // namespace

}  // namespace forkscope

FORKSCOPE_EXPORT pid_t fork() noexcept {
  return pid_t(do_fork(Api::kFork, __builtin_return_address(0), real().fork));
}

FORKSCOPE_EXPORT pid_t __fork() noexcept {
  return pid_t(do_fork(Api::kFork, __builtin_return_address(0), real().__fork));
}

FORKSCOPE_EXPORT pid_t _Fork() noexcept {
  return pid_t(do_fork(Api::k_Fork, __builtin_return_address(0), real()._Fork));
}

FORKSCOPE_EXPORT int clone(int (*function)(void*), void* stack, int flags, void* argument,
                           ...) noexcept {
  va_list more;
  va_start(more, argument);
  auto* parent_tid = va_arg(more, pid_t*);
  void* tls = va_arg(more, void*);
  auto* child_tid = va_arg(more, pid_t*);
  va_end(more);
  const void* caller = __builtin_return_address(0);
  auto real_clone = [&](int (*run)(void*), void* with) {
    return real().clone(run, stack, flags, with, parent_tid, tls, child_tid);
  };
  bool own_tls = (flags & CLONE_SETTLS) != 0;  // without our records in it
  if (function == nullptr || (flags & CLONE_THREAD) != 0) return real_clone(function, argument);
  if (inject::armed && fails_as_asked((flags & CLONE_VM) != 0 ? Api::kCloneVm : Api::kClone, caller))
    return -1;
  if ((flags & CLONE_VM) != 0) {
    before_shared_clone(Api::kCloneVm, caller, (flags & CLONE_VFORK) != 0 && !own_tls, true);
    int child = real_clone(function, argument);
    return int(shared_clone_returned(Api::kCloneVm, child < 0 ? -errno : child, caller));
  }
  observed(record::Call::kClone, caller);
  if (own_tls) {
    int child = real_clone(function, argument);
    if (child > 0) note_spawn(Api::kClone, child, caller);
    return child;
  }
  CloneStart start{function, argument};
  fork_begin(Api::kClone, caller);
  if (inject::armed) begin_injected(Api::kClone, caller);
  int child = real_clone(run_clone, &start);
  int error = errno;
  if (inject::armed) inject::call_done();
  fork_in_parent(child < 0 ? error : 0);
  if (inject::armed && child > 0) inject::fork_returns(false, caller);
  errno = error;
  return child;
}

// -- vfork.S
// ---------------------------------------------------------------------------------------

extern "C" {
[[gnu::visibility("hidden")]] constinit decltype(&::vfork) forkscope_real_vfork = nullptr;

/// Gives 1 if vfork.S makes the system call itself: where libc's own vfork would be next, which does
/// nothing else. Negative if the call is to fail; errno is set.
[[gnu::visibility("hidden")]] int forkscope_before_vfork(const void* caller) noexcept {
  static constinit std::atomic<int> here{-1};
  if (inject::armed) [[unlikely]] {
    if (int error = inject::fails(InjectAction::kVforkFail, caller)) {
      note_spawn_failed(Api::kVfork, error);
      errno = error;
      return -1;
    }
  }
  if (here.load(std::memory_order_relaxed) < 0) {
    int error = errno;
    forkscope_real_vfork = real().vfork;
    here.store(is_libcs(reinterpret_cast<const void*>(real().vfork)), std::memory_order_relaxed);
    errno = error;
  }
  before_shared_clone(Api::kVfork, caller, true, here.load(std::memory_order_relaxed) != 0);
  return here.load(std::memory_order_relaxed);
}

/// Called by clone_here.inc in the process that made the child. `way` is written there.
[[gnu::visibility("hidden")]] long forkscope_after_clone(long result, const void* caller,
                                                         int way) noexcept {
  constexpr Api kWays[] = {Api::kVfork, Api::kSyscallVfork, Api::kSyscallCloneVm,
                           Api::kSyscallClone3Vm};
  return shared_clone_returned(kWays[way], result, caller);
}
}
