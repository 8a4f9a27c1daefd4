// The stack of an acquire whose lock is still held: registers and slice from the slot, callers from
// the thread's stack, which stay what they are for as long as it does not return from them.
#include <cstring>

#include "detector/inspect/frozen_stack.hpp"
#include "detector/inspect/held_reader.hpp"

namespace forkscope {
namespace {

constexpr std::uint64_t kPage = 4096, kPages = 8;

/// As much of the stack from `sp` on as can be read.
MemoryBytes stack_from(LiveMemory& memory, std::uint64_t sp) {
  MemoryBytes stack{sp, std::vector<std::byte>(kPages * kPage - sp % kPage)};
  std::vector<LiveMemory::Piece> pages;
  for (std::uint64_t at = sp, next; at < sp + stack.bytes.size(); at = next) {
    next = at - at % kPage + kPage;
    pages.push_back({at, std::span(stack.bytes).subspan(at - sp, next - at), false});
  }
  memory.gather(pages);
  std::size_t size = 0;
  for (const LiveMemory::Piece& page : pages) {
    if (!page.read) break;
    size += page.out.size();
  }
  stack.bytes.resize(size);
  return stack;
}

struct alignas(Slot) SlotCopy {
  std::byte bytes[sizeof(Slot)];
  const Slot& slot() const { return *reinterpret_cast<const Slot*>(bytes); }
};

}  // namespace

UnwoundStack HeldReader::acquired(const HeldNow& held, const std::vector<ModuleRecord>& modules) {
  const auto thread = live_.find(held.tid);
  if (thread == live_.end()) return {};
  const Slot* seen = nullptr;
  before_[thread->second].each([&](const Recorded& one) {
    if (reinterpret_cast<std::uint64_t>(one.lock) != held.lock) return true;
    seen = one.slot;
    return false;
  });
  if (seen == nullptr) return {};
  const std::uint64_t address = before_.address_of(thread->second, *seen);
  SlotCopy first, second;
  if (!memory_.read(address, first.bytes)) return {};
  // Who waits for a semaphore has mostly returned from there since: other calls' frames are there.
  MemoryBytes stack;
  if ((held.flags & record::kLockEvidence) == 0) stack = stack_from(memory_, first.slot().sp());
  // Unchanged, so that all of it belongs to one acquire of this lock.
  if (!memory_.read(address, second.bytes) ||
      std::memcmp(first.bytes, second.bytes, sizeof first.bytes) != 0 ||
      (first.slot().word.load(std::memory_order_relaxed) & ~kHoldMask) != held.lock ||
      first.slot().registers.pc != held.caller)
    return {};
  const Slot& slot = first.slot();
  record::Registers registers = slot.registers;
  registers.sp = slot.sp();
  const auto* slice = reinterpret_cast<const std::byte*>(slot.slice);
  const std::size_t size = std::min<std::size_t>(slot.slice_size(), sizeof slot.slice);
  std::vector<MemoryBytes> memory{{registers.sp, {slice, slice + size}}};
  if (!stack.bytes.empty()) memory.push_back(stack);
  return unwind_frozen(registers, memory, modules);
}

}  // namespace forkscope
