#include "detector/tracker/handler_trace.hpp"

#include <algorithm>
#include <iterator>

#include "detector/tracker/handlers.hpp"
#include "detector/tracker/held_before.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

using namespace record;

namespace handler_trace {

namespace {

constexpr std::uint32_t kTraces = 8;
constinit HandlerTrace traces[kTraces] = {};
/// Apart from them: a forked child looks at all of these, and would fault for each trace.
constinit std::atomic<const ThreadRecord*> owners[kTraces] = {};

std::atomic<const ThreadRecord*>& owner_of(const HandlerTrace& trace) {
  return owners[&trace - traces];
}

HandlerTrace* own(const ThreadRecord& self) {
  HandlerTrace* trace = self.fork.trace;
  return trace != nullptr && owner_of(*trace).load(std::memory_order_relaxed) == &self ? trace
                                                                                   : nullptr;
}

HandlerTrace* claim(ThreadRecord& self) {
  if (HandlerTrace* trace = own(self)) return trace;
  for (HandlerTrace& trace : traces) {
    const ThreadRecord* nobody = nullptr;
    if (!owner_of(trace).compare_exchange_strong(nobody, &self, std::memory_order_acquire)) continue;
    trace.clear();
    return self.fork.trace = &trace;
  }
  return self.fork.trace = nullptr;
}

void release(ThreadRecord& self, HandlerTrace& trace) {
  self.fork.trace = nullptr;
  owner_of(trace).store(nullptr, std::memory_order_release);
}

std::uint64_t address_of(const void* lock) { return reinterpret_cast<std::uint64_t>(lock); }
const void* lock_at(std::uint64_t address) { return reinterpret_cast<const void*>(address); }

// ---- what a handler does ------------------------------------------------------------------------

void add_lock(HandlerTrace& trace, std::uint64_t lock, std::uint64_t caller, std::uint32_t run,
              LockEvent event, LockType type, std::uint8_t flags, bool ordered) {
  if (trace.locks < kMaxHandlerLocks)
    trace.lock[trace.locks++] = {lock, caller, run, event, type, flags, ordered};
  else
    ++trace.dropped_locks;
}

template <typename Visit>
void each_held_only(const ThreadRecord& self, Visit&& visit) {
  self.each([&](const Recorded& one) {
    if (one.hold == Hold::kHeld && one.type != LockType::kSemaphore)
      visit(HeldLockOnly{one.lock, one.type, one.flags, one.caller});
    return true;
  });
}

/// Locks without owner word, by what was held before and after: not those that it gave back at
/// once.
void compare_held(const ThreadRecord& self, HandlerTrace& trace, std::uint32_t run) {
  HeldLockOnly* end = trace.had_locks + trace.had;
  each_held_only(self, [&](const HeldLockOnly& now) {
    HeldLockOnly* had =
        std::find_if(trace.had_locks, end, [&](const auto& one) { return one.lock == now.lock; });
    if (had == end)
      add_lock(trace, address_of(now.lock), now.caller, run, LockEvent::kTaken, now.type,
               now.flags & kLockReader, false);
    else
      had->lock = nullptr;
  });
  for (const HeldLockOnly* had = trace.had_locks; had < end; ++had)
    if (had->lock != nullptr)
      add_lock(trace, address_of(had->lock), 0, run, LockEvent::kReleased, had->type,
               had->flags & kLockReader, false);
}

/// Whether the forking thread, by its id before or after the fork, has the lock still. Nothing is
/// said of shared memory: the other process may be about to unlock it.
bool still_held(const ThreadRecord& self, const HandlerLock& taken, bool in_child) {
  const void* lock = lock_at(taken.address);
  if (taken.type == LockType::kUnknown || taken.type <= LockType::kMutexAdaptive) {
    if (!sys::readable(lock, sizeof(pthread_mutex_t))) return false;
    MutexWords words(lock);
    const std::int32_t owner = words.owner();
    return words.plausible() && words.lock_word() != 0 &&
           (owner == self.tid || (in_child && owner == self.previous_tid)) && !sys::is_shared(lock);
  }
  bool held = false;
  each_held_only(self, [&](const HeldLockOnly& one) { held = held || one.lock == lock; });
  return held && lock_words::surely_taken(lock, taken.type) && !sys::is_shared(lock);
}

bool had_before(const HandlerTrace& trace, std::uint64_t lock) {
  return std::any_of(trace.held, trace.held + trace.before,
                     [&](const HeldBefore& one) { return one.self != 0 && one.address == lock; });
}

bool taken_in_prepare(const HandlerTrace& trace, const HandlerLock& one) {
  return one.event == LockEvent::kTaken && trace.run[one.run].phase == HandlerPhase::kPrepare;
}

/// Adds what prepare handlers took and no handler gave back. Gives how many.
std::uint32_t note_left_locked(const ThreadRecord& self, HandlerTrace& trace, bool in_child) {
  std::uint32_t count = 0;
  const std::uint32_t events = trace.locks;
  for (std::uint32_t i = 0; i < events; ++i) {
    const HandlerLock one = trace.lock[i];
    if (!taken_in_prepare(trace, one) || had_before(trace, one.address)) continue;
    if (std::any_of(trace.lock + events, trace.lock + trace.locks,
                    [&](const HandlerLock& left) { return left.address == one.address; }))
      continue;  // taken twice
    if (!still_held(self, one, in_child)) continue;
    add_lock(trace, one.address, one.caller, one.run, LockEvent::kLeft, one.type, one.flags, false);
    ++count;
  }
  return count;
}

/// Of the other threads only those whose order can be held against that of the prepare handlers.
std::uint32_t drop_unrelated(HandlerTrace& trace) {
  std::uint32_t kept = 0, others = 0;
  for (std::uint32_t i = 0; i < trace.before;) {
    std::uint32_t end = i, related = 0;
    for (; end < trace.before && trace.held[end].tid == trace.held[i].tid; ++end)
      related += std::any_of(trace.lock, trace.lock + trace.locks, [&](const HandlerLock& one) {
        return taken_in_prepare(trace, one) && one.address == trace.held[end].address;
      });
    if (trace.held[i].self != 0 || related >= 2) {
      others += trace.held[i].self == 0;
      std::copy(trace.held + i, trace.held + end, trace.held + kept);
      kept += end - i;
    }
    i = end;
  }
  trace.before = kept;
  return others;
}

/// What the parent writes down as well.
void drop_of_parent(HandlerTrace& trace) {
  trace.before = 0;
  HandlerLock* end =
      std::remove_if(trace.lock, trace.lock + trace.locks, [&](const HandlerLock& one) {
        return one.event != LockEvent::kLeft && trace.run[one.run].phase != HandlerPhase::kChild;
      });
  trace.locks = std::uint32_t(end - trace.lock);
}

void write(const HandlerTrace& trace, bool in_child) {
  for (std::uint32_t i = 0; i < trace.locks; ++i) {
    note_module(trace.lock[i].address);
    note_module(trace.lock[i].caller);
  }
  for (std::uint32_t i = 0; i < trace.before; ++i) {
    note_module(trace.held[i].address);
    note_module(trace.held[i].caller);
  }
  HandlerRuns header{};
  header.fork = trace.fork;
  header.last_phase = in_child ? HandlerPhase::kChild : HandlerPhase::kParent;
  header.runs = trace.runs;
  header.locks = trace.locks;
  header.before = trace.before;
  header.dropped_runs = trace.dropped_runs;
  header.dropped_locks = trace.dropped_locks;
  auto space =
      process.reserve(sizeof header + trace.runs * sizeof(HandlerRun) +
                      trace.locks * sizeof(HandlerLock) + trace.before * sizeof(HeldBefore));
  if (!space) return;
  Filler fill(space.payload());
  fill.put(header);
  fill.bytes(trace.run, trace.runs * sizeof(HandlerRun));
  fill.bytes(trace.lock, trace.locks * sizeof(HandlerLock));
  fill.bytes(trace.held, trace.before * sizeof(HeldBefore));
  process.publish(space, Type::kHandlerRuns);
}

}  // namespace

void begin(ThreadRecord& self) {
  // A fork inside a handler is not told apart: the trace is that of the fork around it.
  if (live_handler(self) != nullptr || !any_handlers()) return;
  HandlerTrace* trace = claim(self);
  if (trace == nullptr) return;
  trace->clear();
  trace->fork = self.fork.id;
  if (!self.empty()) held_before::look_at_own(*trace, self);
  if (process.living.load(std::memory_order_relaxed) == 1) return;
  registry.each([&](const ThreadRecord& thread) {
    if (&thread != &self && held_before::lives(thread)) held_before::look_at(*trace, thread);
    return true;
  });
}

void in_child(const ThreadRecord& self) {
  for (auto& owner : owners) {
    const ThreadRecord* known = owner.load(std::memory_order_relaxed);
    if (known != nullptr && known != &self) owner.store(nullptr, std::memory_order_relaxed);
  }
}

void finish(ThreadRecord& self, bool in_child, bool failed) {
  if (self.fork.trace == nullptr || live_handler(self) != nullptr) return;
  HandlerTrace* trace = own(self);
  if (trace == nullptr) return;
  if (!failed && trace->runs > 0) {
    std::uint32_t wrong = note_left_locked(self, *trace, in_child);
    if (in_child)
      drop_of_parent(*trace);
    else
      wrong += drop_unrelated(*trace);
    if (wrong > 0 || !process.arena.crowded()) write(*trace, in_child);
  }
  release(self, *trace);
}

void note_passed_by(std::uint64_t fork) {
  if (!any_handlers() || process.arena.crowded()) return;
  static constinit HandlerRun runs[kMaxHandlerRuns] = {};  // the child has one thread so far
  HandlerRuns header{};
  each_handlers([&](const HandlerEntry& entry) {
    if (header.runs == kMaxHandlerRuns)
      ++header.dropped_runs;
    else
      runs[header.runs++] = {entry.atfork, 0, entry.order, HandlerPhase::kPrepare, 1, {}};
  });
  if (header.runs == 0) return;
  header.fork = fork;
  header.last_phase = HandlerPhase::kChild;
  auto space = process.reserve(sizeof header + header.runs * sizeof(HandlerRun));
  if (!space) return;
  Filler fill(space.payload());
  fill.put(header);
  fill.bytes(runs, header.runs * sizeof(HandlerRun));
  process.publish(space, Type::kHandlerRuns);
}

void entered(ThreadRecord& self, HandlerCall& call, std::uint32_t order) {
  HandlerTrace* trace = own(self);
  if (trace == nullptr) return;
  if (trace->runs == kMaxHandlerRuns) {
    ++trace->dropped_runs;
    return;
  }
  call.run = trace->runs++;
  call.trace = trace;
  trace->run[call.run] = {call.atfork, 0, order, call.phase, 0, {}};
  trace->had = 0;
  each_held_only(self, [&](const HeldLockOnly& one) {
    if (trace->had < std::size(trace->had_locks)) trace->had_locks[trace->had++] = one;
  });
}

void left(ThreadRecord& self, const HandlerCall& call, std::uint64_t nanoseconds) {
  HandlerTrace& trace = *call.trace;
  trace.run[call.run].nanoseconds = nanoseconds;
  compare_held(self, trace, call.run);
}

void note_taken(ThreadRecord& self, const void* mutex, Call call, const void* caller) {
  HandlerCall* handler = live_handler(self);
  if (handler == nullptr || handler->trace == nullptr) return;
  add_lock(*handler->trace, address_of(mutex), address_of(caller), handler->run, LockEvent::kTaken,
           MutexWords(mutex).type(), MutexWords(mutex).flags(), waits_of(call) == Waits::kForever);
}

void note_released(ThreadRecord& self, const void* mutex, const void* caller) {
  HandlerCall* handler = live_handler(self);
  if (handler == nullptr || handler->trace == nullptr) return;
  add_lock(*handler->trace, address_of(mutex), address_of(caller), handler->run,
           LockEvent::kReleased, LockType::kUnknown, 0, false);
}

void note_contended(ThreadRecord& self, std::int32_t owner) {
  HandlerCall* handler = live_handler(self);
  if (handler == nullptr || handler->trace == nullptr || handler->phase != HandlerPhase::kPrepare)
    return;
  HandlerTrace& trace = *handler->trace;
  if (std::any_of(trace.held, trace.held + trace.before,
                  [&](const HeldBefore& one) { return one.tid == owner; }))
    return;
  registry.each([&](const ThreadRecord& thread) {
    if (thread.tid != owner || !held_before::lives(thread)) return true;
    held_before::look_at(trace, thread);
    return false;
  });
}

}  // namespace handler_trace

}  // namespace forkscope
