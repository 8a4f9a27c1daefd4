#include <link.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstring>

#include "detector/record/module_kind.hpp"
#include "detector/tracker/modules.hpp"
#include "detector/tracker/process.hpp"

namespace forkscope {

namespace {

/// An object already written down, and not known to have left its addresses since. Private memory:
/// what a child notes is its own. Two threads may note the same object twice; the reader does not
/// mind.
struct Noted {
  std::atomic<std::uint64_t> identity;  ///< of all that is written of it; 0: none
  std::atomic<std::uint64_t> start, end;
};
constexpr std::uint32_t kNoted = 256;
constinit Noted noted[kNoted] = {};
constinit std::atomic<std::uint32_t> noted_count{0};

/// Calls visit(Noted) for each until it returns false.
template <typename Visit>
void each_noted(Visit&& visit) {
  const std::uint32_t count = noted_count.load(std::memory_order_acquire);
  for (std::uint32_t i = 0; i < count; ++i)
    if (noted[i].identity.load(std::memory_order_relaxed) != 0 && !visit(noted[i])) return;
}

bool known(std::uint64_t identity) {
  bool found = false;
  each_noted([&](const Noted& one) {
    found = one.identity.load(std::memory_order_relaxed) == identity;
    return !found;
  });
  return found;
}

/// What lay at these addresses before is there no longer, and is to be written again if it returns.
void forget(std::uint64_t start, std::uint64_t end) {
  each_noted([&](Noted& one) {
    if (one.start.load(std::memory_order_relaxed) < end &&
        start < one.end.load(std::memory_order_relaxed))
      one.identity.store(0, std::memory_order_relaxed);
    return true;
  });
}

void remember(std::uint64_t identity, std::uint64_t start, std::uint64_t end) {
  std::uint32_t slot = 0;
  const std::uint32_t count = noted_count.load(std::memory_order_relaxed);
  while (slot < count && noted[slot].identity.load(std::memory_order_relaxed) != 0) ++slot;
  if (slot >= kNoted) return;  // written again each time from here on
  noted[slot].start.store(start, std::memory_order_relaxed);
  noted[slot].end.store(end, std::memory_order_relaxed);
  noted[slot].identity.store(identity, std::memory_order_release);
  if (slot == count) noted_count.store(count + 1, std::memory_order_release);
}

/// Equal for equal objects only, also where the loader puts one at the place of another: those that
/// were built alike differ by their path alone.
std::uint64_t identity_of(const record::Module& module, const char* path) {
  const auto mixed = [](std::uint64_t hash, std::uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
  };
  std::uint64_t hash = mixed(mixed(mixed(module.path_length, module.start), module.end), module.bias);
  for (std::size_t at = 0; at < module.path_length; at += sizeof(std::uint64_t)) {
    std::uint64_t word = 0;
    std::memcpy(&word, path + at, std::min(sizeof word, module.path_length - at));
    hash = mixed(hash, word);
  }
  return hash | 1;
}

bool write_gone(std::uint64_t start, std::uint64_t end) {
  return process.append_with_text(record::Type::kModule,
                                  record::Module{start, end, kNothingLoaded, 0, 0}, "", 0);
}

/// Nothing is loaded there. If something was, later records are not to be read as if it still were:
/// code made at run time, or the heap, may lie in its place.
void note_gone(std::uint64_t address) {
  each_noted([&](Noted& one) {
    const std::uint64_t start = one.start.load(std::memory_order_relaxed);
    const std::uint64_t end = one.end.load(std::memory_order_relaxed);
    if (address < start || address >= end) return true;
    if (write_gone(start, end)) one.identity.store(0, std::memory_order_relaxed);
    return false;
  });
}

}  // namespace

std::uint64_t note_module(std::uint64_t address) {
  dl_find_object found{};
  if (address == 0) return 0;
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) {
    note_gone(address);
    return 0;
  }
  auto start = reinterpret_cast<std::uint64_t>(found.dlfo_map_start);
  if (!process.arena.attached()) return start;
  const char* path = found.dlfo_link_map->l_name;
  const std::size_t length = path != nullptr ? std::strlen(path) : 0;
  const record::Module module{start, reinterpret_cast<std::uint64_t>(found.dlfo_map_end),
                              found.dlfo_link_map->l_addr, std::uint32_t(length), 0};
  const std::uint64_t identity = identity_of(module, path);
  if (known(identity)) return start;
  forget(module.start, module.end);
  if (process.append_with_text(record::Type::kModule, module, path, length))
    remember(identity, module.start, module.end);
  return start;
}

std::uint64_t note_lock(std::uint64_t address) {
  constexpr std::uint64_t kPage = 4096;
  const std::uint64_t start = note_module(address);
  // What lay there when another process wrote it down is not known here.
  if (start == 0 && process.arena.attached() && address >= kPage)
    write_gone(address / kPage * kPage, address / kPage * kPage + kPage);
  return start;
}

void note_modules(const std::uint64_t* addresses, std::size_t count) {
  for (std::size_t i = 0; i < count; ++i) note_module(addresses[i]);
}

}  // namespace forkscope
