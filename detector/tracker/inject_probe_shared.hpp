// What the processes of one program image know of probes together, and of each other's locks:
// memory that the first one maps shared, and every forked child has. Lock-free, async-signal-safe.
#pragma once

#include <atomic>
#include <cstdint>

#include "detector/record/record.hpp"

namespace forkscope::inject::probing {

inline constexpr std::uint32_t kLearned = 64, kRepaired = 256, kLearnedFrames = 16;

/// A lock that a child of the program took.
struct Learned {
  std::atomic<std::uint64_t> lock;  ///< 0: free
  std::atomic<bool> ready;          ///< the rest is written
  record::LockType type;
  std::uint8_t flags;
  record::Call call;
  std::uint16_t frames;
  std::uint64_t module_start;  ///< 0: not in a module
  std::uint64_t stack[kLearnedFrames];
};

/// What all processes of one program image share, from the first one on.
struct Shared {
  std::atomic<std::uint32_t> made[kMaxInjections];  ///< probes
  std::atomic<std::uint32_t> hung;                  ///< bits: what was waited for in vain
  std::atomic<bool> impossible;                     ///< and said so
  Learned learned[kLearned];
  /// Locks in modules that a child made good before it took them; what does not fit ends learning.
  std::atomic<std::uint64_t> repaired[kRepaired];
  std::atomic<bool> too_many;
};
extern Shared* shared;  ///< null: nothing is to be probed

/// First mapped address of the object that `address` lies in; 0 where it lies in none.
std::uint64_t module_start_of(const void* address);

}  // namespace forkscope::inject::probing
