#include "detector/tracker/held_before.hpp"

#include <algorithm>
#include <iterator>

#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::held_before {

namespace {

using namespace record;

std::uint64_t address_of(const void* lock) { return reinterpret_cast<std::uint64_t>(lock); }

bool owned_by(const void* mutex, std::int32_t tid) {
  return sys::equals(MutexWords(mutex).owner_address(), tid);
}

void add_before(HandlerTrace& trace, const HeldBefore* locks, std::uint32_t count) {
  if (trace.before + count > kMaxHeldBefore) return;  // all of a thread's locks, or none
  std::copy_n(locks, count, trace.held + trace.before);
  trace.before += count;
}

/// The locks of a thread that runs meanwhile. Nothing is kept that changed while it was read.
std::uint32_t read_running(const ThreadRecord& thread, HeldBefore (&found)[kSlots]) {
  const std::int32_t tid = thread.tid;
  const Slot* top = __atomic_load_n(&thread.top, __ATOMIC_ACQUIRE);
  if (top < thread.slots + 2 || top > thread.slots + kSlots) return 0;
  std::uintptr_t words[kSlots];
  std::uint32_t count = 0;
  for (const Slot* slot = thread.slots; slot < top; ++slot) {
    const std::uintptr_t word = words[slot - thread.slots] =
        slot->word.load(std::memory_order_acquire);
    const void* lock = untagged(word);
    const bool mutex = (word & kHoldMask) == std::uintptr_t(Hold::kOwnerWord);
    // A lock without owner word only matters for keeping others out: what the table says will do.
    if (lock == nullptr || (!mutex && Hold(word & kHoldMask) != Hold::kHeld)) continue;
    if (mutex && !owned_by(lock, tid)) continue;
    for (std::uint32_t i = 0; i < count; ++i)
      if (found[i].address == address_of(lock)) return 0;  // in two slots: which is the older one?
    found[count++] = {address_of(lock),
                      slot->registers.pc,
                      tid,
                      mutex ? LockType::kMutexNormal : slot->type,
                      mutex ? std::uint8_t(0) : slot->flags,
                      0,
                      mutex && is_ordered(*slot)};
  }
  if (__atomic_load_n(&thread.top, __ATOMIC_ACQUIRE) != top || thread.deep > 0) return 0;
  for (const Slot* slot = thread.slots; slot < top; ++slot)
    if (slot->word.load(std::memory_order_acquire) != words[slot - thread.slots]) return 0;
  // Held all the time, as far as the owner words tell: then in this order.
  for (std::uint32_t i = 0; i < count; ++i)
    if (found[i].type == LockType::kMutexNormal &&
        !owned_by(reinterpret_cast<const void*>(found[i].address), tid))
      return 0;
  return count;
}

}  // namespace

void look_at_own(HandlerTrace& trace, const ThreadRecord& self) {
  HeldBefore found[kSlots];
  std::uint32_t count = 0;
  self.each([&](const Recorded& one) {
    const bool held = one.hold == Hold::kOwnerWord
                          ? owned_by(one.lock, self.tid)
                          : one.hold == Hold::kHeld && lock_words::surely_taken(one.lock, one.type);
    if (held)
      found[count++] = {address_of(one.lock), one.caller, self.tid, one.type, one.flags, 1, 0};
    return count < std::size(found);
  });
  add_before(trace, found, count);
}

void look_at(HandlerTrace& trace, const ThreadRecord& thread) {
  HeldBefore found[kSlots];
  const std::uint32_t count = read_running(thread, found);
  const auto mutexes = std::count_if(found, found + count, [](const HeldBefore& one) {
    return one.type == LockType::kMutexNormal;
  });
  if (mutexes >= 2) add_before(trace, found, count);
}

bool lives(const ThreadRecord& thread) {
  return thread.generation >= process.generation &&
         thread.life.load(std::memory_order_acquire) == Life::kAlive;
}

}  // namespace forkscope::held_before
