#include "detector/tracker/static_init.hpp"

#include <algorithm>

#include "detector/tracker/modules.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/stack.hpp"

namespace forkscope {

namespace {

/// Of one process: more statics than most programs have, and a small share of the arena.
constexpr std::uint32_t kMost = 512;
constinit std::atomic<std::uint32_t> written{0};

}  // namespace

void note_static_init(ThreadRecord& thread, const void* guard) {
  using namespace record;
  if (!process.arena.attached() || process.arena.crowded()) return;
  const bool parent = process.living.load(std::memory_order_relaxed) > 1 &&
                      process.copies.load(std::memory_order_relaxed) > 0;
  if (!parent && !thread.guarded) return;
  const Slot* slot = nullptr;
  thread.each([&](const Recorded& one) {
    if (one.lock == guard && one.hold == Hold::kHeld) slot = one.slot;
    return slot == nullptr;
  });
  if (slot == nullptr || written.fetch_add(1, std::memory_order_relaxed) >= kMost) return;

  StaticInit init{};
  init.object = reinterpret_cast<std::uint64_t>(guard);
  init.fork = thread.guarded ? process.ancestors[process.generation % kGenerations].fork : 0;
  init.acquired = slot->registers;
  init.acquired.sp = slot->sp();
  init.start = reinterpret_cast<std::uint64_t>(thread.start);
  std::memcpy(init.name, thread.name, sizeof init.name);
  // The guard's caller is still there, and so are its callers, above the slice.
  constexpr std::uint64_t kMostStack = 4096;
  const std::uint64_t sp = init.acquired.sp;
  const std::uint64_t size = std::min(readable_stack_end(thread, sp) - sp, kMostStack);
  init.stack_size = std::uint32_t(size) & ~7u;
  note_module(init.object);
  if (init.start != 0) note_module(init.start);
  note_module(init.acquired.pc);
  note_modules(reinterpret_cast<const std::uint64_t*>(sp), init.stack_size / 8);
  auto space = process.reserve(sizeof init + init.stack_size);
  if (!space) return;
  Filler fill(space.payload());
  fill.put(init);
  fill.bytes(reinterpret_cast<const void*>(sp), init.stack_size);
  process.publish(space, Type::kStaticInit);
}

}  // namespace forkscope
