#include "detector/tracker/inject_probe.hpp"

#include <sys/mman.h>

#include <algorithm>

#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_fit.hpp"
#include "detector/tracker/inject_probe_shared.hpp"
#include "detector/tracker/inject_thread.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::inject::probing {

constinit Runner runner = nullptr;
constinit Shared* shared = nullptr;

namespace {

using namespace record;

constinit std::atomic<std::uint32_t> due_now{0};  ///< bits: injections whose probe is to be made
constinit std::atomic<bool> busy{false};

void* map_shared(std::size_t size) {
  const long memory =
      sys::call(SYS_mmap, 0, long(size), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  return memory < 0 && memory > -4096 ? nullptr : reinterpret_cast<void*>(memory);
}

// -- what is told

std::uint64_t key_of(std::uint32_t index, const Did& did) {
  return process.repeat_key({index, std::uint64_t(did.result), std::uint64_t(did.probed),
                             reinterpret_cast<std::uint64_t>(did.lock), did.holder_caller,
                             std::uint64_t(did.error)});
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

namespace {

bool was_repaired(std::uint64_t address) {
  if (shared->too_many.load(std::memory_order_relaxed)) return true;
  for (const auto& one : shared->repaired) {
    const std::uint64_t known = one.load(std::memory_order_relaxed);
    if (known == 0 || known == address) return known != 0;
  }
  return false;
}

}  // namespace

void repaired(const void* lock) {
  if (shared == nullptr || process.generation == 0 || process.probe || module_start_of(lock) == 0)
    return;
  const auto address = reinterpret_cast<std::uint64_t>(lock);
  for (auto& one : shared->repaired) {
    std::uint64_t known = 0;
    if (one.compare_exchange_strong(known, address, std::memory_order_relaxed) || known == address)
      return;
  }
  shared->too_many.store(true, std::memory_order_relaxed);
}

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
  if (module_start != 0 && was_repaired(address)) return;
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

}  // namespace forkscope::inject::probing
