#include "detector/inspect/queued_on.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "detector/verdict/outside/memory_map.hpp"

namespace forkscope {
namespace {

// absl/base/internal/thread_identity.h: struct ThreadIdentity is aligned to 256 bytes and begins
// with the link of a circular list. absl/synchronization/mutex.cc: the word of a Mutex or CondVar is
// the address of the list's last element, with flags in the low eight bits.
constexpr std::uint64_t kIdentitySize = 256;
constexpr std::uint64_t kFlags = kIdentitySize - 1;
constexpr std::uint64_t kMutexHasWaiters = 4;  // kMuWait
constexpr std::size_t kMostWaiters = 256;
/// From the system call to the caller of Lock() it is less than a page.
constexpr std::size_t kStackWords = 512;

/// All that wait with it, itself among them; empty when it is in no ring.
std::set<std::uint64_t> ring_of(ProcessMemory& memory, std::uint64_t identity) {
  std::set<std::uint64_t> ring;
  std::uint64_t at = identity;
  do {
    const auto next = memory.get<std::uint64_t>(at);
    if (!next || *next == 0 || (*next & kFlags) != 0 || ring.size() > kMostWaiters) return {};
    ring.insert(at);
    at = *next;
  } while (at != identity && !ring.contains(at));
  return at == identity ? ring : std::set<std::uint64_t>{};
}

}  // namespace

std::uint64_t abseil_lock(ProcessMemory& memory, const ProcessEvidence& process,
                          const ThreadEvidence& thread, const FutexWait& wait) {
  const std::uint64_t identity = wait.address & ~kFlags;
  if (!thread.call || wait.expected != 0 || !wait.is_private || wait.address == identity) return 0;
  const std::set<std::uint64_t> ring = ring_of(memory, identity);
  const Mapping* stack = mapping_at(process, thread.call->sp);
  if (ring.empty() || stack == nullptr) return 0;
  std::array<std::uint64_t, kStackWords> words{};
  const std::size_t size = std::min<std::uint64_t>(sizeof words, stack->end - thread.call->sp);
  if (!memory.read(thread.call->sp, std::as_writable_bytes(std::span(words)).first(size))) return 0;
  std::uint64_t condition = 0;
  for (const std::uint64_t pointer : words) {
    if (pointer % 8 != 0 || ring.contains(pointer & ~kFlags)) continue;
    const Mapping* mapping = mapping_at(process, pointer);
    if (mapping == nullptr || !mapping->writable) continue;
    const auto word = memory.get<std::uint64_t>(pointer);
    if (!word || !ring.contains(*word & ~kFlags)) continue;
    if ((*word & kMutexHasWaiters) != 0) return pointer;
    // What has no flags may be any variable that names the thread; on the stack there are some.
    if (mapping != stack && condition == 0) condition = pointer;
  }
  return condition;
}

}  // namespace forkscope
