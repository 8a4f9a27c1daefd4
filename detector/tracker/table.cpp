// The slow half of thread_record.hpp's table.
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::table {

namespace {

bool held(const ThreadRecord& thread, const void* lock) {
  return lock != nullptr && sys::equals(MutexWords(lock).owner_address(), thread.tid);
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

namespace {

/// Asking for owner words costs a system call each, so sweeps are seldom, and ever more so where
/// they find nothing. Less than kDeepSlots apart at first: stale slots alone never fill them.
void sweep_now_and_then(ThreadRecord& thread) {
  constexpr std::uint16_t kOften = 48, kSeldom = 4096;
  const bool full = thread.deep == kDeepSlots && thread.since_sweep >= kOften;
  if (++thread.since_sweep < thread.sweep_interval && !full) return;
  const auto used = [&] { return std::uint32_t(thread.top - thread.slots) + thread.deep; };
  const std::uint32_t before = used();
  forget_stale(thread);
  const auto doubled = std::uint16_t(thread.sweep_interval < kOften    ? kOften
                                     : thread.sweep_interval < kSeldom ? thread.sweep_interval * 2
                                                                       : kSeldom);
  thread.sweep_interval = used() < before ? kOften : doubled;
  thread.since_sweep = 0;
}

}  // namespace

void push_deep(ThreadRecord& thread, const void* lock, void* caller) {
  sweep_now_and_then(thread);
  if (thread.deep == kDeepSlots) {
    // At-fork handlers of big allocators take hundreds, and give them back: protected, not at risk.
    if (thread.fork.active) return;
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
