// What the child of a probe judges, and tells its parent.
#include <dlfcn.h>
#include <linux/futex.h>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/inject_probe_shared.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_calls.hpp"

namespace forkscope::inject::probing {

constinit Message* to_parent = nullptr;

std::uint64_t module_start_of(const void* address) {
  dl_find_object object{};
  if (_dl_find_object(const_cast<void*>(address), &object) != 0) return 0;
  return reinterpret_cast<std::uint64_t>(object.dlfo_map_start);
}

namespace {

using namespace record;

/// The lock that is tried just now.
constinit const Learned* trying = nullptr;

bool is_held(const Learned& one) {
  const ForkHeld held = last_fork_held();
  for (std::uint32_t i = 0; i < held.count; ++i) {
    const HeldLock& lock = held.locks[i];
    if (lock.address == one.lock.load(std::memory_order_relaxed) && lock.type == one.type &&
        lock.self == 0 && (lock.flags & kLockShared) == 0)
      return true;
  }
  return false;
}

/// Still the lock that was learned.
bool is_the_same(const Learned& one) {
  const auto* lock = reinterpret_cast<const void*>(one.lock.load(std::memory_order_relaxed));
  if (one.module_start != 0) return module_start_of(lock) == one.module_start;
  return history::lost_uses(lock, one.type, one.flags).longest != nullptr;
}

/// As the interposer does, just before the real call.
void judge(ThreadRecord& self, const Learned& one) {
  auto* lock = reinterpret_cast<void*>(one.lock.load(std::memory_order_relaxed));
  const auto* caller = reinterpret_cast<const void*>(one.stack[0]);
  switch (one.type) {
    case LockType::kSemaphore:
      if (lock_words::semaphore_value(lock) == 0) meet_semaphore(self, lock, one.call, caller);
      return;
    case LockType::kRwlock:
    case LockType::kSpinlock:
      meet_lock(self, lock, one.type, one.flags, one.call, caller, false);
      return;
    default:
      meet_mutex(self, static_cast<pthread_mutex_t*>(lock), one.call, caller, false);
  }
}

/// A thread that was not copied and is inside a function with the lock of `call`.
void find_inside(Message& message, UnsafeCall call) {
  unsafe_calls::Vanished found;
  if (call != UnsafeCall::none) found = unsafe_calls::find_vanished(call);
  message.holder.store(found.thread != nullptr ? found.thread->tid.load() : 0,
                       std::memory_order_relaxed);
  message.holder_caller.store(reinterpret_cast<std::uint64_t>(found.caller),
                              std::memory_order_relaxed);
  message.function.store(found.call, std::memory_order_relaxed);
}

/// Of the stack of a call that the probe's child made: what lies above the library's own frames is
/// where the probe was, and no part of it.
std::uint16_t frames_before_library(const std::uint64_t* stack, std::uint16_t frames) {
  const std::uint64_t own = module_start_of(reinterpret_cast<const void*>(&finish));
  std::uint16_t count = 0;
  while (count < frames && module_start_of(reinterpret_cast<const void*>(stack[count])) != own)
    ++count;
  return count;
}

}  // namespace

bool begins(Message& message, InjectProbed what, UnsafeCall call) {
  const std::uint32_t hung = shared->hung.load(std::memory_order_relaxed);
  const auto has = [&](InjectProbed one) { return (hung >> std::uint32_t(one) & 1) != 0; };
  if (has(what) || (facts_of(what).allocates && has(InjectProbed::kMalloc))) return false;
  find_inside(message, call);
  message.at.store(what, std::memory_order_release);
  return true;
}

void try_locks(ThreadRecord& self, Message& message) {
  message.at.store(InjectProbed::kLock, std::memory_order_release);
  for (const Learned& one : shared->learned) {
    if (!one.ready.load(std::memory_order_acquire) || !is_held(one) || !is_the_same(one)) continue;
    trying = &one;
    judge(self, one);
    trying = nullptr;
  }
}

std::uint64_t conclude(const Meeting& meeting) {
  if (meeting.severity != Severity::kDeadlock || to_parent == nullptr) return 0;
  Message& message = *to_parent;
  // Of a wait for more than a lock nobody knows what the program's child would do before it.
  const bool orphaned = meeting.kind == Kind::kOrphanedLock ||
                        (trying == nullptr && meeting.kind == Kind::kLostThread);
  if (!orphaned || meeting.holder == meeting.thread) {
    // What the probing thread itself had, no fork of the program's would have found.
    if (trying != nullptr) return 0;
    message.at.store(InjectProbed::kNothing, std::memory_order_release);
    sys::call(SYS_exit_group, 1);
  }
  Meeting told = meeting;
  told.probed = trying != nullptr ? InjectProbed::kLock : message.at.load();
  std::uint64_t stack[kMaxFrames];
  if (trying != nullptr) {
    told.waiter = trying->stack;
    told.waiter_frames = trying->frames;
  } else {
    told.waiter = stack;
    told.waiter_frames =
        frames_before_library(stack, walk_stack(stack, kMaxFrames, meeting.return_address));
  }
  const std::uint32_t next = message.hangs.load(std::memory_order_relaxed);
  if (next < kMostHangs) {
    const void* caller = meeting.holder_caller;
    if (meeting.holder != nullptr && caller == nullptr)
      caller = table::where_taken(*meeting.holder, meeting.object);
    message.hang[next] = {reinterpret_cast<std::uint64_t>(meeting.object),
                          reinterpret_cast<std::uint64_t>(caller),
                          meeting.holder_tid,
                          meeting.lock_type,
                          meeting.lock_flags,
                          told.probed};
    message.hangs.store(next + 1, std::memory_order_release);
  }
  const Arena::Repeat repeat = process.arena.repeat(process.repeat_key(
      {reinterpret_cast<std::uint64_t>(meeting.object), std::uint64_t(told.probed),
       told.waiter_frames > 0 ? told.waiter[0] : 0, std::uint64_t(meeting.kind)}));
  std::uint64_t finding = 1;  // told before: not asked again
  if (repeat.first) {
    told.repeat = repeat.index + 1;
    write_fork_of_probe(*detail::self);
    finding = write_finding(told);
  }
  if (trying == nullptr) finish(message);
  return finding;
}

void finish(Message& message) {
  message.done.store(1, std::memory_order_seq_cst);
  sys::call(SYS_futex, sys::arg(&message.done), FUTEX_WAKE, 1);
  while (true) sys::call(SYS_exit_group, 0);
}

}  // namespace forkscope::inject::probing
