// What syscall.S hands over of the calls made by number: the ways to create, replace and end a
// process. futex is in futex.cpp, what forbids calls in sandbox.cpp.
//
// Functions named forkscope_syscall_* have the parameters of syscall() itself, as they are jumped
// to.
#include <linux/sched.h>
#include <sched.h>

#include "detector/tracker/missing_memory.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/exit.hpp"
#include "preload/fork.hpp"
#include "preload/real.hpp"
#include "preload/vfork_child.hpp"

using namespace forkscope;
using record::Api;

namespace {

/// As syscall.S has it.
enum class Route : int { kForward, kCopy, kHere, kCopyOnNewStack };

struct CloneRequest {
  std::uint64_t flags, stack;
};

/// Flags and stack of a clone or clone3; of one the kernel will refuse, flags to leave it alone.
CloneRequest request_of(long number, unsigned long first, unsigned long second) {
  if (number == SYS_clone) return {std::uint32_t(first), second};
  auto* arguments = reinterpret_cast<const clone_args*>(first);
  if (second < CLONE_ARGS_SIZE_VER0 || !sys::readable(arguments, CLONE_ARGS_SIZE_VER0))
    return {CLONE_THREAD, 0};
  return {arguments->flags, arguments->stack};
}

Api copying_api(long number) {
  if (number == SYS_fork) return Api::kSyscallFork;
  return number == SYS_clone ? Api::kSyscallClone : Api::kSyscallClone3;
}

/// SYS_exit ends a thread, and the process with its last one.
bool ends_process(long number) {
  return number == SYS_exit_group || process.living.load(std::memory_order_relaxed) == 1 ||
         in_borrowed_memory();
}

}  // namespace

extern "C" {

[[gnu::visibility("hidden")]] void forkscope_first_syscall();  // syscall.S
[[gnu::visibility("hidden")]] constinit decltype(&forkscope_first_syscall) forkscope_real_syscall =
    forkscope_first_syscall;

[[gnu::visibility("hidden")]] void forkscope_resolve_syscall() noexcept {
  int error = errno;
  forkscope_real_syscall = reinterpret_cast<decltype(&forkscope_first_syscall)>(real().syscall);
  errno = error;
}

[[gnu::visibility("hidden")]] Route forkscope_route_clone(long number, unsigned long first,
                                                          unsigned long second,
                                                          const void* caller) noexcept {
  if (process.pid == 0) return Route::kForward;
  int error = errno;
  forkscope_resolve_syscall();
  bool here = is_libcs(reinterpret_cast<const void*>(real().syscall));
  errno = error;
  if (number == SYS_vfork) {
    before_shared_clone(Api::kSyscallVfork, caller, true, here);
    return here ? Route::kHere : Route::kForward;
  }
  CloneRequest request = request_of(number, first, second);
  if ((request.flags & CLONE_THREAD) != 0) return Route::kForward;
  bool own_tls = (request.flags & CLONE_SETTLS) != 0;  // without our records in it
  if ((request.flags & CLONE_VM) != 0) {
    Api api = number == SYS_clone ? Api::kSyscallCloneVm : Api::kSyscallClone3Vm;
    before_shared_clone(api, caller, (request.flags & CLONE_VFORK) != 0 && !own_tls, here);
    return here ? Route::kHere : Route::kForward;
  }
  if (own_tls || (request.stack != 0 && !here)) {
    note_spawn(copying_api(number), 0, caller);
    return Route::kForward;
  }
  if (request.stack == 0) return Route::kCopy;
  observed(record::Call::kClone, caller);
  fork_begin(copying_api(number), caller);
  errno = error;
  return Route::kCopyOnNewStack;
}

/// A copy with a stack of its own was made, or not; in the parent.
[[gnu::visibility("hidden")]] long forkscope_copy_made(long result) noexcept {
  int error = errno;
  fork_in_parent(result < 0 ? int(-result) : 0);
  errno = result < 0 ? int(-result) : error;
  return result < 0 ? -1 : result;
}

[[gnu::visibility("hidden")]] void forkscope_in_copy() noexcept {
  int error = errno;
  fork_in_child();
  errno = error;
}

[[gnu::visibility("hidden")]] long forkscope_syscall_process(long number, long a, long b, long c,
                                                             long d, long e, long f) noexcept {
  auto forward = [&] { return real().syscall(number, a, b, c, d, e, f); };
  auto list = [](long pointer) { return reinterpret_cast<char* const*>(pointer); };
  switch (number) {
    case SYS_execve:  // libc's wrapper of these adds nothing, ours what keeps the tree together
      return execve(reinterpret_cast<const char*>(a), list(b), list(c));
    case SYS_execveat:
      return execveat(int(a), reinterpret_cast<const char*>(b), list(c), list(d), int(e));
    case SYS_exit:
    case SYS_exit_group:
      if (ends_process(number)) note_exit(int(a));
      return forward();
    case SYS_madvise: {
      long result = forward();
      if (result == 0 && missing_memory::is_fork_advice(int(c)))
        missing_memory::note_advice(reinterpret_cast<void*>(a), std::size_t(b), int(c),
                                    __builtin_return_address(0));
      return result;
    }
    default:
      return do_fork(copying_api(number), __builtin_return_address(0), forward);
  }
}
}
