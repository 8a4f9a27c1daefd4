#include "detector/tracker/inject_fit.hpp"

#include <link.h>

#include "detector/tracker/lost_threads.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope::inject {

namespace {

/// Of its own stack; libc's fork, at-fork handlers, and the frame of a signal.
constexpr std::uintptr_t kStackNeeded = 64u << 10;
constexpr std::size_t kDeepest = 256;

bool has_stack_left(const ThreadRecord& thread) {
  // The window is the upper half of the stack: below it there is as much again.
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  return thread.stack_span >= kStackNeeded && here - thread.stack_low < thread.stack_span;
}

/// What at-fork handlers might want, and what a child of this fork would find to be its own. A
/// semaphore that the thread waited for is a lock of its own only if it also posts it: else it
/// takes what others give.
bool has_other_lock(const ThreadRecord& thread, const void* lock) {
  bool has = false;
  thread.each([&](const Recorded& one) {
    if (one.slot == thread.top || one.lock == lock) return true;
    if (one.type == record::LockType::kSemaphore && !signalled(thread, one.lock)) return true;
    has = one.hold != Hold::kOwnerWord || sys::equals(MutexWords(one.lock).owner_address(),
                                                      thread.tid.load(std::memory_order_relaxed));
    return !has;
  });
  return has;
}

bool is_own(const void* address) {
  dl_find_object of_address{}, own{};
  return _dl_find_object(const_cast<void*>(address), &of_address) == 0 &&
         _dl_find_object(reinterpret_cast<void*>(&fit_to_fork), &own) == 0 &&
         of_address.dlfo_link_map == own.dlfo_link_map;
}

/// Called by the program, and by nobody who was called by libc: from `caller` outwards frames of
/// the program, then those of libc that start threads and main(). Beyond those is only _start.
bool is_called_by_program(const void* caller) {
  std::uint64_t frames[kDeepest];
  const std::size_t count = whole_stack(frames, kDeepest);
  if (count == kDeepest) return false;  // perhaps not all of it
  std::size_t at = 0;
  while (at < count && frames[at] != reinterpret_cast<std::uint64_t>(caller)) ++at;
  if (at == count) return false;
  bool in_libc = false;
  for (; at < count; ++at) {
    const auto* address = reinterpret_cast<const void*>(frames[at]);
    if (unsafe_sites::is_in_libc(address))
      in_libc = true;
    else if (in_libc && at + 1 < count && !is_own(address))
      return false;
  }
  return in_libc;  // else the stack of a coroutine, or one that cannot be followed
}

}  // namespace

bool fit_to_fork(const ThreadRecord& thread, const void* lock, const void* caller) {
  const bool own = !thread.vfork_open && process.shares_memory.load(std::memory_order_relaxed) == 0;
  const bool forks = thread.fork.active || thread.fork.inside || thread.fork.handler != nullptr;
  return own && !forks && thread.generation == process.generation && thread.inside_depth == 0 &&
         has_stack_left(thread) && !has_other_lock(thread, lock) && is_called_by_program(caller);
}

}  // namespace forkscope::inject
