#include "detector/tracker/lock_words.hpp"

#include <gnu/libc-version.h>

#include <atomic>
#include <cstdlib>

#include "detector/tracker/sys.hpp"

namespace forkscope::lock_words {

bool surely_taken(const void* lock, record::LockType type) {
  if (type == record::LockType::kCustom) return true;
  if (type == record::LockType::kFile) {
    // The stream's own words are elsewhere, behind a pointer that may be anything by now.
    auto* place = &static_cast<const FILE*>(lock)->_lock;
    if (!sys::readable(place, sizeof *place) || !sys::readable(file_lock(lock), sizeof(FileLock)))
      return false;
  } else if (!sys::readable(lock, size(type))) {
    return false;
  }
  return taken(lock, type);
}

namespace {

/// Whether this libc's condition variables have two groups of waiters, the older of which must be
/// empty before a signal can go to the younger (glibc 2.25 to 2.40).
bool condition_has_groups() {
  static constinit std::atomic<int> answer{-1};  // any thread finds the same
  int known = answer.load(std::memory_order_relaxed);
  if (known >= 0) return known != 0;
  const char* version = gnu_get_libc_version();  // "2.36"
  int minor = 0;
  if (version[0] == '2' && version[1] == '.')
    for (const char* digit = version + 2; *digit >= '0' && *digit <= '9'; ++digit)
      minor = minor * 10 + (*digit - '0');
  known = minor >= 25 && minor <= 40;
  answer.store(known, std::memory_order_relaxed);
  return known != 0;
}

}  // namespace

bool condition_signal_blocks(const void* condition, bool broadcast) {
  // struct __pthread_cond_s of those versions.
  constexpr std::size_t kSequence = 0, kStart = 8, kReferences = 16, kSize = 24, kOriginalSize = 32;
  if (!condition_has_groups() || !condition_has_waiters(condition)) return false;
  auto original = load<std::uint32_t>(condition, kOriginalSize);
  if ((original & 3) != 0) return true;  // its internal lock: whoever has it is gone
  auto sequence = load<std::uint64_t>(condition, kSequence);
  auto start = load<std::uint64_t>(condition, kStart);
  std::size_t older = (sequence & 1) ^ 1;
  auto size = [&](std::size_t group) { return load<std::uint32_t>(condition, kSize + 4 * group); };
  bool younger_is_empty =
      std::uint32_t((sequence >> 1) - (start >> 1) - (original >> 2)) + size(older ^ 1) == 0;
  if (younger_is_empty || (!broadcast && size(older) != 0)) return false;
  return (load<std::uint32_t>(condition, kReferences + 4 * older) >> 1) != 0;
}

}  // namespace forkscope::lock_words
