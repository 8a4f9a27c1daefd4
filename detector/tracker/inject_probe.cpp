#include "detector/tracker/inject_probe.hpp"

#include <dlfcn.h>
#include <linux/futex.h>
#include <sys/mman.h>

#include <algorithm>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_fit.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::inject::probing {

constinit Runner runner = nullptr;
constinit Message* to_parent = nullptr;

namespace {

using namespace record;

constexpr std::uint32_t kLearned = 64, kLearnedFrames = 16;

/// A lock that a child of the program took.
struct Learned {
  std::atomic<std::uint64_t> lock;  ///< 0: free
  std::atomic<bool> ready;          ///< the rest is written
  LockType type;
  std::uint8_t flags;
  Call call;
  std::uint16_t frames;
  std::uint64_t module_start;  ///< 0: not in a module
  std::uint64_t stack[kLearnedFrames];
};

/// What all processes of one program image share, from the first one on.
struct Shared {
  std::atomic<std::uint32_t> made[kMaxInjections];  ///< probes
  std::atomic<std::uint32_t> hung;                  ///< bits: what was waited for in vain
  std::atomic<bool> impossible;                     ///< and said so
  Learned learned[kLearned];
};
constinit Shared* shared = nullptr;

constinit std::atomic<std::uint32_t> due_now{0};  ///< bits: injections whose probe is to be made
constinit std::atomic<bool> busy{false};

void* map_shared(std::size_t size) {
  const long memory =
      sys::call(SYS_mmap, 0, long(size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory < 0 && memory > -4096 ? nullptr : reinterpret_cast<void*>(memory);
}

std::uint64_t module_start_of(const void* address) {
  dl_find_object object{};
  if (_dl_find_object(const_cast<void*>(address), &object) != 0) return 0;
  return reinterpret_cast<std::uint64_t>(object.dlfo_map_start);
}

// -- what is told

std::uint64_t key_of(std::uint32_t index, const Did& did) {
  std::uint64_t key = process.image;
  for (const std::uint64_t word :
       {std::uint64_t(index), std::uint64_t(did.result), std::uint64_t(did.probed),
        reinterpret_cast<std::uint64_t>(did.lock), did.holder_caller, std::uint64_t(did.error)})
    key = (key ^ word) * 0xff51afd7ed558ccdu ^ key >> 29;
  return key | 1;
}

/// Written once, and counted after that.
void tell(std::uint32_t index, Did did) {
  process.count(&Counters::injected);
  const Arena::Repeat repeat = process.arena.repeat(key_of(index, did));
  if (!repeat.first) return;
  did.repeat = repeat.index + 1;
  write(index, did);
}

void tell_of(std::uint32_t index, const ThreadRecord& self, const Probe& probe) {
  const Message& message = *probe.message;
  Did did;
  did.site = &self.fork;
  bool hung = false;
  const std::uint32_t hangs = std::min(message.hangs.load(std::memory_order_acquire), kMostHangs);
  for (std::uint32_t i = 0; i < hangs; ++i) {
    const Hang& hang = message.hang[i];
    hung = true;
    did.result = InjectResult::kWouldHang;
    did.probed = hang.probed;
    did.lock = reinterpret_cast<const void*>(hang.lock);
    did.lock_type = hang.type;
    did.lock_flags = hang.flags;
    did.holder = hang.holder;
    did.holder_caller = hang.holder_caller;
    tell(index, did);
  }
  did = {};
  did.site = &self.fork;
  switch (probe.end) {
    case Probe::End::kImpossible:
      if (shared->impossible.exchange(true, std::memory_order_relaxed)) return;
      did.result = InjectResult::kNotPossible;
      did.error = probe.error;
      return tell(index, did);
    case Probe::End::kNone:
      did.result = InjectResult::kNotReached;
      did.error = probe.error;
      return tell(index, did);
    case Probe::End::kDone:
      did.result = InjectResult::kPassed;
      return hung ? void() : tell(index, did);
    case Probe::End::kWaits:
      did.result = InjectResult::kWouldHang;
      break;
    case Probe::End::kLate:
    case Probe::End::kDied:
      did.result = InjectResult::kNotDone;
      break;
  }
  did.probed = message.at.load(std::memory_order_acquire);
  did.function = message.function.load(std::memory_order_relaxed);
  did.holder = message.holder.load(std::memory_order_relaxed);
  did.holder_caller = message.holder_caller.load(std::memory_order_relaxed);
  shared->hung.fetch_or(1u << std::uint32_t(did.probed), std::memory_order_relaxed);
  // Before anything else can be tried: no probe would get further.
  if (did.probed == InjectProbed::kHandlers)
    shared->impossible.store(true, std::memory_order_relaxed);
  tell(index, did);
}

// -- the probe

/// One of those that are due, and has not been made too often; kMaxInjections where there is none.
std::uint32_t claim_due() {
  std::uint32_t bits = due_now.load(std::memory_order_relaxed);
  for (std::uint32_t i = 0; i < process.options.injections; ++i) {
    const std::uint32_t bit = 1u << i;
    if ((bits & bit) == 0 || (due_now.fetch_and(~bit, std::memory_order_relaxed) & bit) == 0)
      continue;
    if (shared->made[i].fetch_add(1, std::memory_order_relaxed) < process.options.inject[i].limit)
      return i;
    shared->made[i].fetch_sub(1, std::memory_order_relaxed);
  }
  return kMaxInjections;
}

void make(ThreadRecord& self, std::uint32_t index, const void* caller) {
  Probe probe{static_cast<Message*>(map_shared(sizeof(Message))),
              process.options.inject[index].wait, Probe::End::kNone, ENOMEM};
  if (probe.message == nullptr) return;
  const ForkSite before = self.fork;
  self.fork = {};
  self.fork.id = process.next_fork_id();
  self.fork.api = Api::kFork;
  self.fork.frames = walk_stack(self.fork.stack, kMaxFrames, caller);
  self.fork.active = self.fork.inside = true;
  runner(self, probe);
  self.fork.active = self.fork.inside = false;
  tell_of(index, self, probe);
  self.fork = before;
  sys::unmap(probe.message, sizeof(Message));
}

}  // namespace

void init() {
  each(InjectAction::kForkProbe, [](std::uint32_t, const Injection&) {
    if (shared == nullptr && process.arena.attached())
      shared = static_cast<Shared*>(map_shared(sizeof(Shared)));
  });
}

void in_child() {
  busy.store(false, std::memory_order_relaxed);
  due_now.store(0, std::memory_order_relaxed);
}

void point(ThreadRecord& thread, const void* lock, const void* caller) {
  if (shared == nullptr || runner == nullptr || process.probe ||
      process.living.load(std::memory_order_relaxed) <= 1 ||
      shared->impossible.load(std::memory_order_relaxed))
    return;
  each(InjectAction::kForkProbe, [&](std::uint32_t index, const Injection&) {
    if (due(index, &thread)) due_now.fetch_or(1u << index, std::memory_order_relaxed);
  });
  if (due_now.load(std::memory_order_relaxed) == 0 || !fit_to_fork(thread, lock, caller) ||
      busy.exchange(true, std::memory_order_acquire))
    return;
  const std::uint32_t index = claim_due();
  if (index < kMaxInjections) make(thread, index, caller);
  busy.store(false, std::memory_order_release);
}

void settle() {
  constexpr std::uint64_t kStep = 1'000'000, kMost = 3'000'000'000;
  for (std::uint64_t waited = 0; busy.load(std::memory_order_acquire) && waited < kMost;
       waited += kStep)
    sleep(kStep);
}

// -- learning

void learn(const Taken& taken) {
  if (shared == nullptr || waits_of(taken.call) != Waits::kForever) return;
  switch (taken.type) {
    case LockType::kMutexNormal:
    case LockType::kMutexRecursive:
    case LockType::kMutexErrorcheck:
    case LockType::kMutexAdaptive:
    case LockType::kRwlock:
    case LockType::kSpinlock:
    case LockType::kSemaphore:
      break;
    default:
      return;  // libc makes it good in the child, or only the program knows what it is
  }
  const auto address = reinterpret_cast<std::uint64_t>(taken.lock);
  const std::uint64_t module_start = module_start_of(taken.lock);
  // Elsewhere another lock, or anything, may lie there by the time of a probe: only where frees are
  // seen, and the lock is one that the parent's threads are known to use.
  if (module_start == 0 &&
      history::lost_uses(taken.lock, taken.type, taken.flags).longest == nullptr)
    return;
  Learned* free = nullptr;
  for (Learned& one : shared->learned) {
    const std::uint64_t known = one.lock.load(std::memory_order_acquire);
    if (known == address && one.ready.load(std::memory_order_acquire) && one.call == taken.call)
      return;
    if (known == 0 && free == nullptr) free = &one;
  }
  if (free == nullptr || sys::is_shared(taken.lock)) return;
  std::uint64_t nobody = 0;
  if (!free->lock.compare_exchange_strong(nobody, address, std::memory_order_acq_rel)) return;
  free->type = taken.type;
  free->flags = taken.flags & kLockReader;
  free->call = taken.call;
  free->module_start = module_start;
  free->frames = walk_stack(free->stack, kLearnedFrames, taken.caller);
  free->ready.store(true, std::memory_order_release);
}

// -- in the child of a probe

namespace {

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
  message.holder.store(0, std::memory_order_relaxed);
  message.holder_caller.store(0, std::memory_order_relaxed);
  message.function.store(UnsafeCall::none, std::memory_order_relaxed);
  if (call == UnsafeCall::none) return;
  registry.each([&](const ThreadRecord& thread) {
    if (thread.generation >= process.generation ||
        thread.life.load(std::memory_order_relaxed) != Life::kAlive)
      return true;
    for (const InsideCall& entry : thread.inside) {
      const UnsafeCall other = entry.call.load(std::memory_order_relaxed);
      if (other == UnsafeCall::none || !meet_in_libc(call, other)) continue;
      message.holder.store(thread.tid.load(std::memory_order_relaxed), std::memory_order_relaxed);
      message.holder_caller.store(reinterpret_cast<std::uint64_t>(entry.caller),
                                  std::memory_order_relaxed);
      message.function.store(other, std::memory_order_relaxed);
      return false;
    }
    return true;
  });
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
      meeting.holder->each([&](const Recorded& one) {
        if (one.lock == meeting.object) caller = reinterpret_cast<const void*>(one.caller);
        return one.lock != meeting.object;
      });
    message.hang[next] = {reinterpret_cast<std::uint64_t>(meeting.object),
                          reinterpret_cast<std::uint64_t>(caller),
                          meeting.holder_tid,
                          meeting.lock_type,
                          meeting.lock_flags,
                          told.probed};
    message.hangs.store(next + 1, std::memory_order_release);
  }
  std::uint64_t key = process.image;
  for (const std::uint64_t word :
       {reinterpret_cast<std::uint64_t>(meeting.object), std::uint64_t(told.probed),
        told.waiter_frames > 0 ? told.waiter[0] : 0, std::uint64_t(meeting.kind)})
    key = (key ^ word) * 0xff51afd7ed558ccdu ^ key >> 27;
  const Arena::Repeat repeat = process.arena.repeat(key | 1);
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
