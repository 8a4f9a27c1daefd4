#include "detector/tracker/custom_locks.hpp"

#include <atomic>
#include <cstdint>

#include "detector/record/record.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::custom_locks {

namespace {

struct Remembered {
  const void* lock;
  std::uint32_t bytes;
};
constinit Remembered remembered[record::kMaxForkHeld] = {};
constinit std::uint32_t remembered_count = 0;

constexpr std::uint32_t kHandedOver = 64;
constinit std::atomic<const void*> handed_over[kHandedOver] = {};
constinit std::atomic<bool> too_many{false};

/// The word, or the byte where it is none: what follows a byte is not the lock's.
bool read_bytes(const void* lock, std::uint32_t& bytes) {
  const bool word = reinterpret_cast<std::uintptr_t>(lock) % sizeof bytes == 0;
  if (!sys::readable(lock, word ? sizeof bytes : 1)) return false;
  bytes = word ? __atomic_load_n(static_cast<const std::uint32_t*>(lock), __ATOMIC_RELAXED)
               : __atomic_load_n(static_cast<const std::uint8_t*>(lock), __ATOMIC_RELAXED);
  return true;
}

Remembered* find(const void* lock) {
  for (std::uint32_t i = 0; i < remembered_count; ++i)
    if (remembered[i].lock == lock) return &remembered[i];
  return nullptr;
}

bool is_handed_over(const void* lock) {
  if (too_many.load(std::memory_order_relaxed)) return true;
  for (const auto& one : handed_over)
    if (one.load(std::memory_order_relaxed) == lock) return true;
  return false;
}

}  // namespace

void remember_at_fork(const void* lock) {
  std::uint32_t bytes = 0;
  if (!read_bytes(lock, bytes)) return;
  Remembered* entry = find(lock);
  if (entry == nullptr && remembered_count < record::kMaxForkHeld)
    entry = &remembered[remembered_count++];
  if (entry != nullptr) *entry = {lock, bytes};
}

bool unchanged_since_fork(const void* lock) {
  std::uint32_t bytes = 0;
  const Remembered* entry = find(lock);
  return entry != nullptr && read_bytes(lock, bytes) && bytes == entry->bytes &&
         !is_handed_over(lock);
}

void note_handed_over(const void* lock) {
  for (auto& one : handed_over) {
    const void* there = nullptr;
    if (one.compare_exchange_strong(there, lock, std::memory_order_relaxed) || there == lock)
      return;
  }
  too_many.store(true, std::memory_order_relaxed);
}

}  // namespace forkscope::custom_locks
