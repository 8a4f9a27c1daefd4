#include "detector/tracker/registry.hpp"

#include <cstring>

#include "detector/tracker/history.hpp"
#include "detector/tracker/lost_join.hpp"
#include "detector/tracker/sys.hpp"

extern "C" void* __libc_stack_end;  // ld.so: where the main thread's stack began

namespace forkscope {

constinit Registry registry;
constinit LibcCalls libc_calls;

namespace detail {
constinit thread_local ThreadRecord* self = nullptr;
constinit thread_local ThreadRecord* unguarded = nullptr;
constinit thread_local ThreadRecord* guarded = nullptr;
constinit bool lock_points = false;
}  // namespace detail

namespace {

constinit thread_local bool gone = false;
constinit pthread_key_t exit_key;
using AskTid = std::int32_t (*)();
constinit AskTid ask_libc_tid = nullptr;
constinit std::atomic<bool> has_exit_key{false};
constinit std::size_t default_size = 0;

/// glibc calls key destructors in up to PTHREAD_DESTRUCTOR_ITERATIONS rounds while any key is set.
/// Other keys' destructors take locks too, so ours asks to come again until the last round.
constexpr int kRounds = 4;

void finish(ThreadRecord& thread) {
  gone = true;  // first: a signal handler that locks must not make the thread known again
  detail::self = nullptr;
  take_long_path();
  process.living.fetch_sub(1, std::memory_order_relaxed);
  table::forget_semaphores(thread);
  table::forget_stale(thread);
  if (thread.empty()) {
    registry.release(thread);
    return;
  }
  // Its locks stay locked for ever: keep the record, a child that meets one is told who it was.
  std::uint64_t left = 0;
  thread.each([&](const Recorded& one) {
    left += one.slot != thread.top;
    return true;
  });
  process.count(&record::Counters::abandoned_locks, left);
  thread.life.store(Life::kExited, std::memory_order_release);
}

void on_thread_exit(void* value) {
  auto& thread = *static_cast<ThreadRecord*>(value);
  if (++thread.destructor_rounds < kRounds && libc_calls.setspecific(exit_key, &thread) == 0)
    return;
  finish(thread);
}

/// Below this, pthread_setspecific uses room inside the thread descriptor and does not allocate.
constexpr pthread_key_t kStaticKeys = 32;

constexpr std::size_t kSmallestStack = 16u << 10;  // PTHREAD_STACK_MIN

void set_window(ThreadRecord& thread, std::uintptr_t high, std::uintptr_t span) {
  constexpr std::uintptr_t kSliceBytes = sizeof(Slot::slice);
  thread.stack_high = high;
  thread.stack_low = high - span;
  thread.stack_span = span - kSliceBytes;
}

/// Only what precedes the table: stale slots mean nothing without their owner words. No memset:
/// others may be looking at the atomics (Registry::each, and the free list's link).
void wipe(ThreadRecord& thread) {
  thread.stack_low = thread.stack_span = thread.stack_high = 0;
  thread.tid.store(0, std::memory_order_relaxed);
  thread.guarded = thread.deep = thread.dropped = 0;
  thread.since_sweep = thread.sweep_interval = 0;
  thread.wait_object.store(nullptr, std::memory_order_relaxed);
  thread.waiting.store(record::ThreadState::kRunning, std::memory_order_relaxed);
  thread.wait_mutex.store(nullptr, std::memory_order_relaxed);
  thread.wait_caller = 0;
  std::memset(thread.signalled, 0, sizeof thread.signalled);
  thread.signalled_next = 0;
  thread.inside_depth = 0;
  for (InsideCall& entry : thread.inside)
    entry.call.store(record::UnsafeCall::none, std::memory_order_relaxed);
  thread.previous_tid = 0;
  thread.pthread.store(0, std::memory_order_relaxed);
  thread.start = nullptr;
  thread.argument = nullptr;
  thread.creator_frames = thread.destructor_rounds = 0;
  std::memset(thread.name, 0, sizeof thread.name);
  std::memset(thread.creator, 0, sizeof thread.creator);
  thread.fork = {};
  thread.vfork = 0;
  thread.vfork_open = false;
  thread.to_time = nullptr;
  thread.looking = 0;
  thread.timed.store(nullptr, std::memory_order_relaxed);
  for (Seen& seen : thread.seen) seen.word.store(0, std::memory_order_relaxed);
  thread.fork_declared = nullptr;
  thread.custom_lock = nullptr;
  thread.custom_finding = 0;
}

ThreadRecord* prepared(ThreadRecord& thread, std::uint32_t index) {
  thread.index = index;
  thread.generation.store(process.generation, std::memory_order_relaxed);
  thread.top = thread.slots;
  thread.life_number.store(history::next_life(), std::memory_order_relaxed);
  thread.life.store(Life::kStarting, std::memory_order_release);
  return &thread;
}

ThreadRecord* used_again(ThreadRecord& thread) {
  std::uint32_t index = thread.index;
  wipe(thread);
  return prepared(thread, index);
}

}  // namespace

ThreadRecord* Registry::reclaim() {
  // Two threads may look at the same one: no matter.
  std::uint32_t index = next_reclaim_.load(std::memory_order_relaxed);
  if (index >= size()) index = 0;
  next_reclaim_.store(index + 1, std::memory_order_relaxed);
  ThreadRecord* thread = size() > 0 ? at(index) : nullptr;
  // Lost threads' records are evidence.
  if (thread == nullptr || thread->generation != process.generation) return nullptr;
  Life ended = Life::kExited;
  if (!thread->life.compare_exchange_strong(ended, Life::kReclaiming, std::memory_order_acq_rel))
    return nullptr;
  table::forget_stale(*thread);
  if (thread->empty()) return used_again(*thread);
  thread->life.store(Life::kExited, std::memory_order_release);
  return nullptr;
}

ThreadRecord* Registry::allocate() {
  std::uint64_t head = free_.load(std::memory_order_acquire);
  while (std::uint32_t(head) != 0) {
    ThreadRecord* thread = at(std::uint32_t(head) - 1);
    // What it gives is believed only if nobody took the record meanwhile.
    std::uint64_t next =
        ((head >> 32) + 1) << 32 | thread->next_free.load(std::memory_order_relaxed);
    if (free_.compare_exchange_weak(head, next, std::memory_order_acq_rel)) {
      return used_again(*thread);
    }
  }
  if (ThreadRecord* thread = reclaim()) return thread;
  std::uint32_t index = used_.load(std::memory_order_relaxed);
  do {
    if (index >= kChunks * kChunkSize) {
      process.count(&record::Counters::dropped_threads);
      return nullptr;
    }
    auto& chunk = chunks_[index / kChunkSize];
    if (chunk.load(std::memory_order_acquire) == nullptr) {
      void* memory = sys::map_private(kChunkSize * sizeof(ThreadRecord));
      if (memory == nullptr) {
        process.count(&record::Counters::dropped_threads);
        return nullptr;
      }
      ThreadRecord* expected = nullptr;
      if (!chunk.compare_exchange_strong(expected, static_cast<ThreadRecord*>(memory)))
        sys::call(SYS_munmap, sys::arg(memory), kChunkSize * sizeof(ThreadRecord));
    }
  } while (!used_.compare_exchange_weak(index, index + 1, std::memory_order_acq_rel));
  return prepared(*at(index), index);
}

void Registry::release(ThreadRecord& thread) {
  thread.life.store(Life::kFree, std::memory_order_release);
  std::uint64_t head = free_.load(std::memory_order_relaxed);
  std::uint64_t next;
  do {
    thread.next_free.store(std::uint32_t(head), std::memory_order_relaxed);
    next = ((head >> 32) + 1) << 32 | (thread.index + 1);
  } while (!free_.compare_exchange_weak(head, next, std::memory_order_acq_rel));
}

std::int32_t libc_tid() { return ask_libc_tid != nullptr ? ask_libc_tid() : sys::gettid(); }

bool give_up_exit_key() {
  return has_exit_key.exchange(false) && libc_calls.key_delete(exit_key) == 0;
}

std::size_t default_stack_size() { return default_size; }

void init_registry(std::int32_t (*tid)()) {
  ask_libc_tid = tid;
  pthread_attr_t attributes;
  if (libc_calls.getattr_default(&attributes) == 0) {
    libc_calls.attr_getstacksize(&attributes, &default_size);
    libc_calls.attr_destroy(&attributes);
  }
  has_exit_key = libc_calls.key_create(&exit_key, on_thread_exit) == 0 && exit_key < kStaticKeys;
}

void adopt(ThreadRecord& thread, std::size_t stack_size) {
  thread.tid = libc_tid();
  thread.pthread.store(pthread_self(), std::memory_order_relaxed);
  handle_taken(thread.pthread);
  auto frame = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  if (thread.tid == process.pid) {
    // The kernel keeps everything else away from below the main stack (stack_guard_gap, rlimit).
    set_window(thread, reinterpret_cast<std::uintptr_t>(__libc_stack_end), 256u << 10);
  } else if (stack_size >= kSmallestStack) {
    // Above this frame are the thread's descriptor and TLS, in the same mapping and taken from its
    // size; half of the size is surely stack.
    set_window(thread, frame, stack_size / 2);
  }
  thread.looking = history::kFirstLooks;
  detail::self = &thread;
  restore_lock_path(thread);
  thread.life.store(Life::kAlive, std::memory_order_release);
  if (has_exit_key) libc_calls.setspecific(exit_key, &thread);
}

void guard(ThreadRecord& self) {
  self.guarded = 1;
  take_long_path();
}

ThreadRecord* attach_current_thread() {
  if (gone || process.pid == 0) return nullptr;
  ThreadRecord* thread = registry.allocate();
  if (thread == nullptr) {
    gone = true;  // do not try again for every call
    return nullptr;
  }
  bool main_thread = libc_tid() == process.pid;
  if (!main_thread) history::start();
  if (!main_thread) process.living.fetch_add(1, std::memory_order_relaxed);
  thread->guarded = process.generation > 0;
  adopt(*thread, 0);
  return thread;
}

}  // namespace forkscope
