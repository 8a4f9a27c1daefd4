#include "detector/tracker/fork_events.hpp"

#include <algorithm>
#include <cstring>

#include "detector/tracker/modules.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

using namespace record;

// Written by the child only, right after the fork, while it has one thread.
constinit HeldLock held[kMaxForkHeld];
constinit std::uint32_t held_total = 0;

void add_held(std::int32_t tid, const void* lock, std::uint64_t caller, bool self) {
  if (lock == nullptr || !sys::readable(lock, sizeof(pthread_mutex_t))) return;
  MutexWords words(lock);
  if (words.owner() != tid || !words.plausible()) return;
  auto address = reinterpret_cast<std::uint64_t>(lock);
  std::uint32_t stored = std::min(held_total, kMaxForkHeld);
  for (std::uint32_t i = 0; i < stored; ++i)
    if (held[i].address == address) return;  // in two slots
  if (held_total < kMaxForkHeld)
    held[held_total] = {address, caller, tid, words.type(), words.flags(), self, 0};
  ++held_total;
}

/// The locks `thread` held at the fork. `tid` is what its owner words say.
void collect_held(const ThreadRecord& thread, std::int32_t tid, bool self) {
  thread.each([&](const void* lock, std::uint64_t caller, const Slot*) {
    add_held(tid, lock, caller, self);
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
  note_modules(self.fork.stack, self.fork.frames);
  for (std::uint32_t i = 0; i < stored; ++i) {
    note_module(held[i].address);
    note_module(held[i].caller);
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
    if (info.start != 0) note_module(info.start);
    fill.put(info);
    return true;
  });
  fill.bytes(held, stored * sizeof(HeldLock));
  process.publish(space, Type::kFork);
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
    info.state = ThreadState::kCondWait;
    info.wait_object = reinterpret_cast<std::uint64_t>(condition);
    info.wait_mutex =
        reinterpret_cast<std::uint64_t>(thread.wait_mutex.load(std::memory_order_relaxed));
    info.wait_caller = thread.wait_caller;
  } else if (!thread.empty()) {
    thread.each([&](const void* lock, std::uint64_t caller, const Slot* slot) {
      if (slot == thread.top) return true;  // released, or about to be
      if (sys::readable(lock, sizeof(pthread_mutex_t)) && MutexWords(lock).owner() != thread.tid) {
        info.state = ThreadState::kLocking;
        info.wait_object = reinterpret_cast<std::uint64_t>(lock);
        info.wait_caller = caller;
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
}

void fork_in_child() {
  std::int32_t parent = process.pid, child = sys::getpid();
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
  process.fork_ids[process.generation % kGenerations] = self->fork.id;
  // After clone() libc goes on under the parent's TID: then it is no former one.
  process.forker_tids[process.generation % kGenerations] =
      self->tid != self->previous_tid ? self->previous_tid : 0;
  self->generation = process.generation;
  if (!alone || !self->empty()) guard(*self);
  process.living.store(1, std::memory_order_relaxed);

  held_total = 0;
  registry.each([&](const ThreadRecord& thread) {
    if (&thread != self && of_last_fork(thread, self)) collect_held(thread, thread.tid, false);
    return true;
  });
  collect_held(*self, self->previous_tid, true);
  write_fork(*self, parent);
  process.count(&Counters::forks);
  self->fork.active = false;
}

void fork_in_parent(int error) {
  ThreadRecord* self = current();
  if (self == nullptr || !self->fork.active) return;
  self->fork.active = false;
  if (error != 0) {
    process.count(&Counters::fork_failures);
    process.append(Type::kForkFailed, ForkFailed{self->fork.id, self->fork.api, {}, error});
  }
}

void fork_in_parent_if(Api api) {
  ThreadRecord* self = current();
  if (self != nullptr && self->fork.active && self->fork.api == api) fork_in_parent(0);
}

std::uint64_t note_spawn(Api api, std::int32_t child, const void* return_address) {
  std::uint64_t id = process.next_fork_id();
  process.count(&Counters::forks);
  if (process.arena.crowded()) {
    process.count(&Counters::boring_forks);
    return id;
  }
  Fork fork{};
  fork.id = id;
  fork.parent = process.pid;
  fork.parent_tid = current_tid();
  fork.child = child;
  fork.api = api;
  fork.threads_total = process.living.load(std::memory_order_relaxed);
  fork.frames = 1;
  fork.stack[0] = reinterpret_cast<std::uint64_t>(return_address);
  note_modules(fork.stack, 1);
  process.append(Type::kFork, fork);
  return id;
}

void note_spawn_failed(Api api, int error) {
  process.count(&Counters::fork_failures);
  process.append(Type::kForkFailed, ForkFailed{0, api, {}, error});
}

ForkHeld last_fork_held() { return {held, std::min(held_total, kMaxForkHeld), held_total}; }

}  // namespace forkscope
