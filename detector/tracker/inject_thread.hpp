// What injection knows of a thread, beside its record: nothing is kept of it unless something is
// asked for. Found by the index of the record. Thread-safe, async-signal-safe, fork-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "detector/record/inject.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::inject {

/// A lock that the thread has, and that a fork may be wanted under.
struct Has {
  std::atomic<const void*> lock;  ///< null: free
  std::atomic<std::uint32_t> injections;
  record::LockType type;
  std::uint8_t flags;
  std::uint64_t caller;
};
inline constexpr std::size_t kHas = 16;

struct InjectThread {
  std::uint32_t life;            ///< ThreadRecord::life_number it is of; 0: none yet
  std::uint32_t holding;         ///< in a fork that keeps, or kept, another thread: index + 1
  std::uint64_t key;             ///< which thread of which process, the same in every run
  std::uint32_t threads, forks;  ///< that it has created so far
  std::uint32_t calls[kMaxInjections];
  std::uint32_t sampling;  ///< in a fork that hopes for a thread inside libc: index + 1
  std::uint32_t delays;    ///< bits of the delays that are due when that fork is over
  std::atomic<bool> busy;  ///< a pause or a delay of ours: nothing is injected meanwhile
  Has has[kHas];
};

/// That of the thread; null where the kernel gives no memory.
InjectThread* state_of(ThreadRecord& thread);
/// For threads that others may look at: null if there is none yet.
InjectThread* known_state_of(const ThreadRecord& thread);

}  // namespace forkscope::inject
