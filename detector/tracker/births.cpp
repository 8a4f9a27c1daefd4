#include "detector/tracker/births.hpp"

#include <atomic>
#include <cstddef>
#include <cstring>

#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope::births {

constinit bool kept = false;

namespace {

struct Entry {
  std::atomic<std::uintptr_t> lock;  ///< 0: free
  std::atomic<std::uint64_t> birth;
};
constexpr std::size_t kEntries = 1u << 17, kProbes = 16;
constinit Entry* entries = nullptr;

/// How many each thread has made, by its place in the directory: with the life it is about.
constexpr std::size_t kThreads = 4096;
struct Made {
  std::atomic<std::uint32_t> life, count;
};
constinit Made made[kThreads] = {};

/// Its entry, or the free one for it; null when there is none.
Entry* find(const void* lock) {
  const auto address = reinterpret_cast<std::uintptr_t>(lock);
  const std::uint64_t hash = std::uint64_t(address) * 0x9e3779b97f4a7c15u >> 40;
  for (std::size_t probe = 0; probe < kProbes; ++probe) {
    Entry& entry = entries[(hash + probe) % kEntries];
    std::uintptr_t known = entry.lock.load(std::memory_order_relaxed);
    if (known == address || known == 0) return &entry;
  }
  return nullptr;
}

}  // namespace

void start() {
  entries = static_cast<Entry*>(sys::map_private(kEntries * sizeof(Entry)));
  kept = entries != nullptr;
}

void note_slowly(const void* lock) {
  const ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->index >= kThreads) return;
  const std::uint32_t life = thread->life_number.load(std::memory_order_relaxed);
  Made& own = made[thread->index];
  if (own.life.load(std::memory_order_relaxed) != life) {
    own.count.store(0, std::memory_order_relaxed);
    own.life.store(life, std::memory_order_relaxed);
  }
  // Counted whether there is room or not: the numbers of those that come later do not change.
  const std::uint32_t number = own.count.fetch_add(1, std::memory_order_relaxed) + 1;
  Entry* entry = find(lock);
  if (entry == nullptr) return;
  std::uintptr_t none = 0;
  const auto address = reinterpret_cast<std::uintptr_t>(lock);
  if (!entry->lock.compare_exchange_strong(none, address) && none != address) return;
  entry->birth.store(std::uint64_t(life) << 32 | number, std::memory_order_relaxed);
}

void forget_slowly(const void* lock) {
  Entry* entry = find(lock);
  if (entry != nullptr &&
      entry->lock.load(std::memory_order_relaxed) == reinterpret_cast<std::uintptr_t>(lock))
    entry->birth.store(0, std::memory_order_relaxed);
}

Birth of(const void* lock) {
  if (!kept) return {};
  const Entry* entry = find(lock);
  if (entry == nullptr ||
      entry->lock.load(std::memory_order_relaxed) != reinterpret_cast<std::uintptr_t>(lock))
    return {};
  const std::uint64_t birth = entry->birth.load(std::memory_order_relaxed);
  return {std::uint32_t(birth >> 32), std::uint32_t(birth)};
}

bool name(const void* lock, char (&into)[48]) {
  const Birth birth = of(lock);
  if (birth.number == 0) return false;
  char* at = stpcpy(into, "born:");
  at = sys::put_number(at, birth.thread);
  *at++ = '.';
  *sys::put_number(at, birth.number) = '\0';
  return true;
}

}  // namespace forkscope::births
