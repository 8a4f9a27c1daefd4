#include "detector/tracker/lock_names.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>

#include "detector/tracker/process.hpp"

namespace forkscope::lock_names {

namespace {

constexpr std::size_t kNameSize = 48;  // with its NUL
constexpr std::uint32_t kEntries = 4096, kProbes = 64;

enum State : std::uint32_t { kBusy, kReady };

/// Claimed by its lock; a forgotten entry keeps its place, for those that lie beyond it.
struct Entry {
  std::atomic<const void*> lock;
  std::atomic<std::uint32_t> state;
  std::uint32_t noted;  ///< generation that wrote it down, plus one
  char name[kNameSize];
};
static_assert(sizeof(Entry) == 64);
constinit Entry entries[kEntries] = {};
constinit std::atomic<bool> any{false};

const void* const kForgotten = entries;  // no lock lies here

std::uint32_t place_of(const void* lock) {
  return std::uint32_t((reinterpret_cast<std::uintptr_t>(lock) >> 2) * 0x9e3779b97f4a7c15u >> 32);
}

Entry* find(const void* lock) {
  if (!any.load(std::memory_order_acquire)) return nullptr;
  for (std::uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries[(place_of(lock) + i) % kEntries];
    const void* there = entry.lock.load(std::memory_order_acquire);
    if (there == lock) return &entry;
    if (there == nullptr) return nullptr;
  }
  return nullptr;
}

Entry* claim(const void* lock) {
  for (std::uint32_t i = 0; i < kProbes; ++i) {
    Entry& entry = entries[(place_of(lock) + i) % kEntries];
    const void* there = entry.lock.load(std::memory_order_relaxed);
    if (there != nullptr && there != kForgotten) continue;
    // Not ready before it is claimed: whoever is forked in between finds a lock without a name.
    if (entry.lock.compare_exchange_strong(there, lock, std::memory_order_acq_rel)) return &entry;
  }
  return nullptr;
}

}  // namespace

void set(const void* lock, const char* name) {
  if (lock == nullptr || name == nullptr) return forget(lock);
  any.store(true, std::memory_order_release);
  Entry* entry = find(lock);
  if (entry == nullptr) entry = claim(lock);
  if (entry == nullptr) return;
  entry->state.store(kBusy, std::memory_order_release);
  std::atomic_thread_fence(std::memory_order_seq_cst);
  const std::size_t length = std::min(std::strlen(name), kNameSize - 1);
  std::memcpy(entry->name, name, length);
  entry->name[length] = '\0';
  entry->noted = 0;
  entry->state.store(kReady, std::memory_order_release);
}

bool copy(const void* lock, char (&into)[48]) {
  const Entry* entry = find(lock);
  if (entry == nullptr || entry->state.load(std::memory_order_acquire) != kReady) return false;
  std::memcpy(into, entry->name, sizeof into);
  return true;
}

void forget(const void* lock) {
  Entry* entry = find(lock);
  if (entry == nullptr) return;
  entry->state.store(kBusy, std::memory_order_release);
  entry->lock.store(kForgotten, std::memory_order_release);
}

void note(std::uint64_t lock) {
  Entry* entry = find(reinterpret_cast<const void*>(lock));
  if (entry == nullptr || entry->state.load(std::memory_order_acquire) != kReady) return;
  if (entry->noted == process.generation + 1) return;
  const std::size_t length = std::strlen(entry->name);
  const record::LockName name{lock, std::uint32_t(length), 0};
  if (process.append_with_text(record::Type::kLockName, name, entry->name, length))
    entry->noted = process.generation + 1;
}

}  // namespace forkscope::lock_names
