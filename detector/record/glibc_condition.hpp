// Where the words of a pthread_cond_t lie (sysdeps/nptl/bits/thread-shared-types.h): two layouts, for
// __g_refs went away in glibc 2.41 and what follows it moved up by eight bytes. Distributions carry
// that change in older versions too, so a version number does not tell which one a libc has. For the
// tracker, which runs beside it, and for the look from outside. Pure.
#pragma once

#include <cstdint>

namespace forkscope {

/// Offsets in bytes; __wseq is at 0 and __g1_start at 8 in both.
struct ConditionLayout {
  std::int64_t references;  ///< __g_refs[2]; -1: there are none
  std::int64_t sizes;       ///< __g_size[2]
  std::int64_t original;    ///< __g1_orig_size: its low two bits are the internal lock
  std::int64_t waiters;     ///< __wrefs: bit 0 is set for PTHREAD_PROCESS_SHARED, the count is above 2
  std::int64_t signals;     ///< __g_signals[2]
};

/// glibc 2.25 to 2.40.
inline constexpr ConditionLayout kConditionWithReferences{16, 24, 32, 36, 40};
/// glibc 2.41.
inline constexpr ConditionLayout kConditionWithoutReferences{-1, 16, 24, 28, 32};

inline constexpr std::int64_t kConditionSequence = 0, kConditionStart = 8;
inline constexpr std::uint32_t kConditionShared = 1, kConditionLockMask = 3;
inline constexpr int kConditionWaiterShift = 3;

}  // namespace forkscope
