// The slow half of thread_record.hpp's table.
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::table {

namespace {

bool held(const ThreadRecord& thread, const void* lock) {
  return sys::readable(lock, sizeof(pthread_mutex_t)) && MutexWords(lock).owner() == thread.tid;
}

/// Fills the place of a slot that is no longer wanted with the top one. At any instant that one is
/// in at least one of both places, and whichever is read has the stack that belongs to it or none.
void remove(ThreadRecord& thread, Slot& slot) {
  Slot& last = thread.top[-1];
  if (&slot != &last) {
    slot.lock.store(nullptr, std::memory_order_release);
    slot.registers = last.registers;
    slot.short_size = last.short_size;
    std::memcpy(slot.slice, last.slice, sizeof slot.slice);
    slot.lock.store(last.lock.load(std::memory_order_relaxed), std::memory_order_release);
  }
  --thread.top;
}

void remove(ThreadRecord& thread, DeepSlot& slot) {
  DeepSlot& last = thread.deep_slots[thread.deep - 1];
  slot.caller = last.caller;
  slot.lock.store(last.lock.load(std::memory_order_relaxed), std::memory_order_release);
  --thread.deep;
}

/// Recorded a second time above: it was unlocked by somebody else in between.
bool recorded_above(const ThreadRecord& thread, const Slot& slot) {
  const void* lock = slot.lock.load(std::memory_order_relaxed);
  for (const Slot* above = &slot + 1; above < thread.top; ++above)
    if (above->lock.load(std::memory_order_relaxed) == lock) return true;
  return false;
}

}  // namespace

void forget_stale(ThreadRecord& thread) {
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if (!held(thread, slot->lock.load(std::memory_order_relaxed)) || recorded_above(thread, *slot))
      remove(thread, *slot);
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if (!held(thread, thread.deep_slots[i].lock.load(std::memory_order_relaxed)))
      remove(thread, thread.deep_slots[i]);
}

void push_deep(ThreadRecord& thread, const void* lock, void* caller) {
  // Reading owner words costs a system call each: not at every deep lock.
  constexpr std::uint32_t kEvery = 8;
  if (thread.deep % kEvery == 0) forget_stale(thread);
  if (thread.deep == kDeepSlots) {
    ++thread.dropped;
    process.count(&record::Counters::dropped_locks);
    return;
  }
  // This lock has no acquisition stack either way: the caller's frame is no longer the top one.
  DeepSlot& slot = thread.deep_slots[thread.deep];
  slot.caller = reinterpret_cast<std::uint64_t>(caller);
  slot.lock.store(lock, std::memory_order_release);
  ++thread.deep;
}

bool erase(ThreadRecord& thread, const void* lock) {
  for (std::uint32_t i = thread.deep; i-- > 0;) {
    if (thread.deep_slots[i].lock.load(std::memory_order_relaxed) != lock) continue;
    remove(thread, thread.deep_slots[i]);
    return true;
  }
  for (Slot* slot = thread.top; slot-- > thread.slots;) {
    if (slot->lock.load(std::memory_order_relaxed) != lock) continue;
    remove(thread, *slot);
    return true;
  }
  return false;
}

bool contains(const ThreadRecord& thread, const void* lock) {
  bool found = false;
  thread.each([&](const void* one, std::uint64_t, const Slot*) {
    found = one == lock;
    return !found;
  });
  return found;
}

}  // namespace forkscope::table
