// The slow half of thread_record.hpp's table.
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::table {

namespace {

using record::LockType;

/// kWanted and kReleasing are of the call that is being made, or left by one that longjmp ended.
bool held(const ThreadRecord& thread, std::uintptr_t word, LockType type) {
  const void* lock = untagged(word);
  if (lock == nullptr) return false;
  Hold hold = Hold(word & kHoldMask);
  if (hold == Hold::kOwnerWord) return sys::equals(MutexWords(lock).owner_address(), thread.tid);
  return hold == Hold::kHeld && lock_words::surely_taken(lock, type);
}

/// Above the top only locks with an owner word may stay.
void clear_typed(std::atomic<std::uintptr_t>& word) {
  if ((word.load(std::memory_order_relaxed) & kHoldMask) != 0)
    word.store(0, std::memory_order_release);
}

/// Fills the place of a slot that is no longer wanted with the top one. At any instant that one is
/// in at least one of both places, and whichever is read has the stack that belongs to it or none.
void remove(ThreadRecord& thread, Slot& slot) {
  Slot& last = thread.top[-1];
  if (&slot != &last) {
    slot.word.store(0, std::memory_order_release);
    slot.registers = last.registers;
    slot.short_size = last.short_size;
    slot.type = last.type;
    slot.flags = last.flags;
    const std::uintptr_t word = last.word.load(std::memory_order_relaxed);
    slot.time = (word & kHoldMask) == 0 ? unordered_mark(word, last.registers.pc) : last.time;
    std::memcpy(slot.slice, last.slice, sizeof slot.slice);
    slot.word.store(word, std::memory_order_release);
  }
  clear_typed(last.word);
  --thread.top;
}

void remove(ThreadRecord& thread, DeepSlot& slot) {
  DeepSlot& last = thread.deep_slots[thread.deep - 1];
  if (&slot != &last) {
    slot.caller = last.caller;
    slot.type = last.type;
    slot.flags = last.flags;
    slot.word.store(last.word.load(std::memory_order_relaxed), std::memory_order_release);
  }
  clear_typed(last.word);
  --thread.deep;
}

/// Recorded a second time above: it was unlocked by somebody else in between.
bool recorded_above(const ThreadRecord& thread, const Slot& slot) {
  std::uintptr_t word = slot.word.load(std::memory_order_relaxed);
  if ((word & kHoldMask) != 0) return false;
  for (const Slot* above = &slot + 1; above < thread.top; ++above)
    if (above->word.load(std::memory_order_relaxed) == word) return true;
  return false;
}

}  // namespace

void forget_stale(ThreadRecord& thread) {
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if (!held(thread, slot->word.load(std::memory_order_relaxed), slot->type) ||
        recorded_above(thread, *slot))
      remove(thread, *slot);
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if (!held(thread, thread.deep_slots[i].word.load(std::memory_order_relaxed),
              thread.deep_slots[i].type))
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

namespace {

DeepSlot* deep_slot(ThreadRecord& thread) {
  sweep_now_and_then(thread);
  if (thread.deep < kDeepSlots) return &thread.deep_slots[thread.deep];
  // At-fork handlers of big allocators take hundreds, and give them back: protected, not at risk.
  if (thread.fork.active || thread.fork.inside) return nullptr;
  ++thread.dropped;
  process.count(&record::Counters::dropped_locks);
  return nullptr;
}

}  // namespace

void push_deep(ThreadRecord& thread, const void* lock, void* caller) {
  DeepSlot* slot = deep_slot(thread);
  if (slot == nullptr) return;
  // This lock has no acquisition stack either way: the caller's frame is no longer the top one.
  slot->caller = reinterpret_cast<std::uint64_t>(caller) & ((std::uint64_t{1} << 48) - 1);
  slot->word.store(tagged(lock, Hold::kOwnerWord), std::memory_order_release);
  ++thread.deep;
}

void want_deep(ThreadRecord& thread, const void* lock, LockType type, std::uint8_t flags,
               void* caller) {
  DeepSlot* slot = deep_slot(thread);
  if (slot == nullptr) return;
  slot->caller = reinterpret_cast<std::uint64_t>(caller) & ((std::uint64_t{1} << 48) - 1);
  slot->type = type;
  slot->flags = flags;
  ++thread.deep;
  slot->word.store(tagged(lock, Hold::kWanted), std::memory_order_release);
}

std::atomic<std::uintptr_t>* find_deep(ThreadRecord& thread, std::uintptr_t word) {
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if (thread.deep_slots[i].word.load(std::memory_order_relaxed) == word)
      return &thread.deep_slots[i].word;
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if (slot->word.load(std::memory_order_relaxed) == word) return &slot->word;
  return nullptr;
}

void settle_slowly(ThreadRecord& thread, const void* lock, bool got) {
  std::atomic<std::uintptr_t>* word = find(thread, lock, Hold::kWanted);
  if (word == nullptr) return;
  if (got)
    word->store(tagged(lock, Hold::kHeld), std::memory_order_release);
  else
    clear(thread, *word);
}

// Not kReleasing and then cleared, for nothing comes after the real call: a fork in that instant
// finds the lock taken, and nobody who says so.
bool release_slowly(ThreadRecord& thread, const void* lock, bool in_place) {
  std::atomic<std::uintptr_t>* word = find(thread, lock, Hold::kHeld);
  if (word == nullptr) return false;
  if (in_place)
    word->store(0, std::memory_order_release);
  else
    drop(thread, *word);
  return true;
}

void trim_deep(ThreadRecord& thread) {
  while (thread.deep > 0 &&
         thread.deep_slots[thread.deep - 1].word.load(std::memory_order_relaxed) == 0)
    --thread.deep;
}

void forget_semaphores(ThreadRecord& thread) {
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if ((slot->word.load(std::memory_order_relaxed) & kHoldMask) != 0 &&
        slot->type == LockType::kSemaphore)
      remove(thread, *slot);
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if ((thread.deep_slots[i].word.load(std::memory_order_relaxed) & kHoldMask) != 0 &&
        thread.deep_slots[i].type == LockType::kSemaphore)
      remove(thread, thread.deep_slots[i]);
}

void mark_inherited(ThreadRecord& thread) {
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if ((slot->word.load(std::memory_order_relaxed) & kHoldMask) != 0) slot->flags |= kInherited;
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if ((thread.deep_slots[i].word.load(std::memory_order_relaxed) & kHoldMask) != 0)
      thread.deep_slots[i].flags |= kInherited;
}

void drop(ThreadRecord& thread, std::atomic<std::uintptr_t>& word) {
  for (std::uint32_t i = thread.deep; i-- > 0;)
    if (&thread.deep_slots[i].word == &word) return remove(thread, thread.deep_slots[i]);
  for (Slot* slot = thread.top; slot-- > thread.slots;)
    if (&slot->word == &word) return remove(thread, *slot);
}

bool erase(ThreadRecord& thread, const void* lock) {
  for (std::uint32_t i = thread.deep; i-- > 0;) {
    if (untagged(thread.deep_slots[i].word.load(std::memory_order_relaxed)) != lock) continue;
    remove(thread, thread.deep_slots[i]);
    return true;
  }
  for (Slot* slot = thread.top; slot-- > thread.slots;) {
    if (untagged(slot->word.load(std::memory_order_relaxed)) != lock) continue;
    remove(thread, *slot);
    return true;
  }
  return false;
}

bool contains(const ThreadRecord& thread, const void* lock) {
  bool found = false;
  thread.each([&](const Recorded& one) {
    found = one.lock == lock;
    return !found;
  });
  return found;
}

}  // namespace forkscope::table
