// How a reader outside the process finds the tables of held locks: one exported object.
//
// The symbol forkscope_held_tables of libforkscope.so says where the registry is and how its
// records are laid out. A symbol, because it is there without a session, after chroot, and when the
// file was deleted or replaced; the loader has put addresses into it before any code of the process
// runs.
//
// A reader that was built with another layout must refuse: `version` is for the meaning of the
// fields, bumped by hand; `layout` is made from sizes and offsets, so that a moved field is noticed
// even if nobody thought of it. Constant; nothing on the lock path knows of it.
// Thread-, signal- and fork-safe.
#pragma once

#include <cstddef>
#include <cstdint>

#include "detector/tracker/process.hpp"
#include "detector/tracker/registry.hpp"

namespace forkscope {

inline constexpr char kHeldTablesMagic[8] = {'F', 'K', 'S', 'H', 'E', 'L', 'D', '\0'};
inline constexpr std::uint32_t kHeldTablesVersion = 1;
inline constexpr const char* kHeldTablesSymbol = "forkscope_held_tables";

/// Of everything a reader looks at.
constexpr std::uint32_t held_tables_layout() {
  std::uint64_t hash = 0x9e3779b97f4a7c15u;
  const auto add = [&hash](std::uint64_t value) {
    hash = (hash ^ value) * 0xff51afd7ed558ccdu;
    hash ^= hash >> 32;
  };
  for (std::uint64_t size :
       {sizeof(ThreadRecord), sizeof(Slot), sizeof(DeepSlot), sizeof(record::Registers),
        std::size_t{kSlots}, std::size_t{kDeepSlots}, std::size_t{Registry::kChunkSize},
        std::size_t{Registry::kChunks}})
    add(size);
  for (std::uint64_t offset :
       {offsetof(ThreadRecord, top), offsetof(ThreadRecord, tid), offsetof(ThreadRecord, deep),
        offsetof(ThreadRecord, generation), offsetof(ThreadRecord, dropped),
        offsetof(ThreadRecord, life), offsetof(ThreadRecord, wait_object),
        offsetof(ThreadRecord, start), offsetof(ThreadRecord, argument), offsetof(ThreadRecord, name), offsetof(ThreadRecord, slots),
        offsetof(ThreadRecord, deep_slots), offsetof(Slot, word), offsetof(Slot, registers),
        offsetof(Slot, type), offsetof(Slot, flags), offsetof(Slot, slice)})
    add(offset);
  using record::LockType;
  for (std::uint64_t value :
       {std::uint64_t(Life::kAlive), std::uint64_t(Hold::kOwnerWord), std::uint64_t(Hold::kHeld),
        std::uint64_t(Hold::kReleasing), std::uint64_t(LockType::kRwlock),
        std::uint64_t(LockType::kSpinlock), std::uint64_t(LockType::kSemaphore),
        std::uint64_t(LockType::kStaticGuard)})
    add(value);
  return std::uint32_t(hash);
}

struct HeldTables {
  char magic[8];
  std::uint32_t version;
  std::uint32_t layout;
  const void* chunks;       ///< of the registry: kChunks pointers to kChunkSize records each
  const void* used;         ///< uint32: records in use
  const std::int32_t* pid;  ///< of the process whose threads these are; 0: not at work
  const std::uint32_t* generation;  ///< threads of earlier ones were not copied here
};
static_assert(sizeof(HeldTables) == 48, "as every version begins, so that others can be refused");

}  // namespace forkscope
