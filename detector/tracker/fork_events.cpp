#include "detector/tracker/fork_events.hpp"

#include <algorithm>
#include <cstring>

#include "detector/tracker/custom_locks.hpp"
#include "detector/tracker/file_locks.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/handler_trace.hpp"
#include "detector/tracker/held_rules.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/learn.hpp"
#include "detector/tracker/loader_state.hpp"
#include "detector/tracker/lock_names.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/missing_memory.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/shared_descriptors.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_calls.hpp"

namespace forkscope {

namespace {

using namespace record;

// Written by the child only, right after the fork, while it has one thread.
constinit HeldLock held[kMaxForkHeld];
constinit std::uint32_t held_total = 0;

void store_held(const void* lock, std::uint64_t caller, std::int32_t tid, LockType type,
                std::uint8_t flags, bool self) {
  auto address = reinterpret_cast<std::uint64_t>(lock);
  std::uint32_t stored = std::min(held_total, kMaxForkHeld);
  for (std::uint32_t i = 0; i < stored; ++i)
    if (held[i].address == address && held[i].owner == tid) return;  // in two slots
  if (held_total < kMaxForkHeld) held[held_total] = {address, caller, tid, type, flags, self, 0};
  ++held_total;
}

void add_mutex(const Recorded& one, std::int32_t tid, bool self) {
  if (!sys::readable(one.lock, sizeof(pthread_mutex_t))) return;
  MutexWords words(one.lock);
  if (!held_by(words, tid)) return;
  std::uint8_t flags = words.flags();
  if (words.pshared() && sys::is_shared(one.lock)) flags |= kLockShared;
  store_held(one.lock, one.caller, tid, words.type(), flags, self);
}

/// A lock without owner word: the thread's own word for it, if the lock's do not contradict.
void add_other(const ThreadRecord& thread, const Recorded& one, std::int32_t tid, bool self) {
  if (one.hold != Hold::kHeld || !lock_words::surely_taken(one.lock, one.type)) return;
  // libc restarts in the child what was in progress, if it knows of the fork.
  if (one.type == LockType::kOnce && handlers_of(process.last_api) == Handlers::kRun) return;
  const void* waits_for = thread.wait_object.load(std::memory_order_relaxed);
  if (!words_agree(one, one.lock, tid, waits_for)) return;
  std::uint8_t flags = one.flags & kLockReader;
  if (one.type == LockType::kSemaphore) flags |= kLockEvidence;
  if (one.type == LockType::kCustom) custom_locks::remember_at_fork(one.lock);
  if (sys::is_shared(one.lock)) flags |= kLockShared;
  store_held(one.lock, one.caller, tid, one.type, flags, self);
}

/// The locks `thread` held at the fork. `tid` is what its owner words say.
void collect_held(const ThreadRecord& thread, std::int32_t tid, bool self) {
  thread.each([&](const Recorded& one) {
    if (one.hold == Hold::kOwnerWord)
      add_mutex(one, tid, self);
    else
      add_other(thread, one, tid, self);
    return true;
  });
}

std::uint16_t count_held(std::int32_t tid) {
  std::uint16_t count = 0;
  for (std::uint32_t i = 0; i < std::min(held_total, kMaxForkHeld); ++i)
    count += held[i].owner == tid;
  return count;
}

/// A thread that the last fork did not copy, or the forking one.
bool of_last_fork(const ThreadRecord& thread, const ThreadRecord* self) {
  return &thread == self || thread.generation + 1 == process.generation;
}

/// What the program says of the forks of `self`.
void write_declared(const ThreadRecord& self, std::uint64_t fork) {
  constexpr std::size_t kMost = 256;
  if (self.fork_declared == nullptr) return;
  const std::size_t length = std::min(std::strlen(self.fork_declared), kMost);
  process.append_with_text(Type::kForkDeclared, ForkDeclared{fork, std::uint32_t(length), 0},
                           self.fork_declared, length);
}

void write_fork(const ThreadRecord& self, std::int32_t parent) {
  std::uint32_t threads = 0, total = 0, dropped = 0;
  registry.each([&](const ThreadRecord& thread) {
    if (!of_last_fork(thread, &self)) return true;
    if (thread.life.load(std::memory_order_relaxed) != Life::kExited) ++total;
    dropped += thread.dropped;
    if (threads < kMaxForkThreads) ++threads;
    return true;
  });
  std::uint32_t stored = std::min(held_total, kMaxForkHeld);
  bool orphans = std::any_of(held, held + stored, [](const HeldLock& h) { return !h.self; });
  if (!orphans && process.arena.crowded()) {
    process.count(&Counters::boring_forks);
    return;
  }
  const bool late = process.arena.crowded();  // else fork_begin() and pthread_create() noted them
  if (late) note_modules(self.fork.stack, self.fork.frames);
  for (std::uint32_t i = 0; i < stored; ++i) {
    note_module(held[i].address);
    note_module(held[i].caller);
    lock_names::note(held[i].address);
  }
  Fork fork{};
  fork.id = self.fork.id;
  fork.parent = parent;
  fork.parent_tid = self.previous_tid;
  fork.child = process.pid;
  fork.api = self.fork.api;
  fork.frames = self.fork.frames;
  fork.threads = threads;
  fork.held = stored;
  fork.threads_total = total;
  fork.dropped_locks = dropped + (held_total - stored);
  std::copy_n(self.fork.stack, self.fork.frames, fork.stack);
  auto space =
      process.reserve(sizeof fork + threads * sizeof(ThreadInfo) + stored * sizeof(HeldLock));
  if (!space) return;
  Filler fill(space.payload());
  fill.put(fork);
  registry.each([&](const ThreadRecord& thread) {
    if (!of_last_fork(thread, &self)) return true;
    if (threads == 0) return false;
    --threads;
    ThreadInfo info = thread_info(thread);
    info.is_forker = &thread == &self;
    if (info.is_forker) info.tid = self.previous_tid;
    info.held = count_held(info.tid);
    if (late) note_module(info.start);
    fill.put(info);
    return true;
  });
  fill.bytes(held, stored * sizeof(HeldLock));
  process.publish(space, Type::kFork);
  write_declared(self, fork.id);
}

}  // namespace

record::ThreadInfo thread_info(const ThreadRecord& thread) {
  ThreadInfo info{};
  info.tid = thread.tid;
  info.start = reinterpret_cast<std::uint64_t>(thread.start);
  std::memcpy(info.name, thread.name, sizeof info.name);
  Life life = thread.life.load(std::memory_order_relaxed);
  const void* condition = thread.wait_object.load(std::memory_order_relaxed);
  info.state = ThreadState::kRunning;
  if (life == Life::kStarting) {
    info.state = ThreadState::kStarting;
  } else if (life == Life::kExited) {
    info.state = ThreadState::kExited;
  } else if (condition != nullptr) {
    info.state = thread.waiting.load(std::memory_order_relaxed);
    info.wait_object = reinterpret_cast<std::uint64_t>(condition);
    info.wait_mutex =
        reinterpret_cast<std::uint64_t>(thread.wait_mutex.load(std::memory_order_relaxed));
    info.wait_caller = thread.wait_caller;
  } else if (!thread.empty()) {
    thread.each([&](const Recorded& one) {
      if (one.slot == thread.top) return true;  // released, or about to be
      bool locking = one.hold == Hold::kOwnerWord
                         ? sys::readable(one.lock, sizeof(pthread_mutex_t)) &&
                               MutexWords(one.lock).owner() != thread.tid
                         : one.hold == Hold::kWanted;
      if (locking) {
        info.state = ThreadState::kLocking;
        info.wait_object = reinterpret_cast<std::uint64_t>(one.lock);
        info.wait_caller = one.caller;
      }
      return false;
    });
  }
  return info;
}

void fork_begin(Api api, const void* return_address) {
  ThreadRecord* self = current();
  if (self == nullptr || self->fork.active) return;
  self->fork.id = process.next_fork_id();
  self->fork.api = api;
  self->fork.frames = walk_stack(self->fork.stack, kMaxFrames, return_address);
  self->fork.active = true;
  // Here and not in the child, which would copy a page for it, each time.
  if (!process.arena.crowded()) note_modules(self->fork.stack, self->fork.frames);
  if (api != Api::kAtfork && handlers_of(api) == Handlers::kRun) handler_trace::begin(*self);
  missing_memory::before_fork();
  file_locks_before_fork();
  shared_descriptors::before_fork(*self);
}

void fork_in_child() {
  const long asked = sys::call(SYS_getpid);  // a sandbox may forbid it
  std::int32_t parent = process.pid, child = asked > 0 ? std::int32_t(asked) : libc_tid();
  ThreadRecord* self = parent != 0 ? current() : nullptr;
  // Done already (handler, then wrapper); the pid alone does not tell, both may be 1 in namespaces.
  if (parent == 0 || (parent == child && (self == nullptr || !self->fork.active))) return;
  process.pid = child;
  if (self == nullptr) return;
  bool alone = true;
  registry.each([&](const ThreadRecord& thread) { return alone = &thread == self; });
  self->previous_tid = self->tid;
  self->tid = libc_tid();
  ++process.generation;
  process.last_api = self->fork.api;
  // After clone() libc goes on under the parent's TID: then it is no former one.
  process.ancestors[process.generation % kGenerations] = {
      self->fork.id, self->tid != self->previous_tid ? self->previous_tid : 0};
  self->generation = process.generation;
  if (!alone || !self->empty()) guard(*self);
  process.living.store(1, std::memory_order_relaxed);
  process.copies.store(0, std::memory_order_relaxed);
  handler_trace::in_child(*self);
  loader_state::in_child();
  missing_memory::in_child();
  unsafe_calls::in_child(*self);
  shared_descriptors::in_child(*self);
  // The memory is a copy: nobody shares it, and whose vfork was open in it is not here.
  process.shares_memory.store(0, std::memory_order_relaxed);
  if (self->vfork_open) {
    self->vfork_open = false;
    restore_lock_path(*self);
  }

  held_total = 0;
  registry.each([&](const ThreadRecord& thread) {
    if (&thread != self && of_last_fork(thread, self)) collect_held(thread, thread.tid, false);
    return true;
  });
  collect_held(*self, self->previous_tid, true);
  table::mark_inherited(*self);
  if (process.options.learn && !process.probe)
    learn::in_child();  // before locks of the forking thread are forgotten
  history::in_child(*self);
  if (inject::armed) inject::in_child(*self);
  if (!process.probe) write_fork(*self, parent);
  if (!alone && handlers_of(self->fork.api) == Handlers::kSkipped)
    handler_trace::note_passed_by(self->fork.id);
  self->fork_declared = nullptr;  // of the forks in the parent, not of the child's own
  process.count(&Counters::forks);
  self->fork.active = false;
}

void write_fork_of_probe(const ThreadRecord& self) { write_fork(self, sys::getppid()); }

void fork_in_parent(int error) {
  ThreadRecord* self = current();
  if (self == nullptr || !self->fork.active) return;
  self->fork.active = false;
  shared_descriptors::in_parent(*self, error == 0);
  if (error == 0) process.copies.fetch_add(1, std::memory_order_relaxed);
  if (error != 0) {
    process.count(&Counters::fork_failures);
    process.append(Type::kForkFailed, ForkFailed{self->fork.id, self->fork.api, {}, error});
  }
}

void fork_in_parent_if(Api api) {
  ThreadRecord* self = current();
  if (self != nullptr && self->fork.active && self->fork.api == api) fork_in_parent(0);
}

std::uint64_t note_spawn(Api api, std::int32_t child, const void* return_address,
                         std::uint64_t id) {
  if (id == 0) id = process.next_fork_id();
  process.count(&Counters::forks);
  if (process.arena.crowded()) {
    process.count(&Counters::boring_forks);
    return id;
  }
  Fork fork{};
  fork.id = id;
  // A vfork child may go on to create one of its own.
  fork.parent =
      process.shares_memory.load(std::memory_order_relaxed) != 0 ? sys::getpid() : process.pid;
  fork.parent_tid = current_tid();
  fork.child = child;
  fork.api = api;
  fork.threads_total = process.living.load(std::memory_order_relaxed);
  fork.frames = 1;
  fork.stack[0] = reinterpret_cast<std::uint64_t>(return_address);
  note_modules(fork.stack, 1);
  process.append(Type::kFork, fork, fork.parent);
  if (const ThreadRecord* self = detail::self) write_declared(*self, id);
  return id;
}

void note_spawn_failed(Api api, int error, std::uint64_t id) {
  process.count(&Counters::fork_failures);
  process.append(Type::kForkFailed, ForkFailed{id, api, {}, error});
}

ForkHeld last_fork_held() { return {held, std::min(held_total, kMaxForkHeld), held_total}; }

}  // namespace forkscope
