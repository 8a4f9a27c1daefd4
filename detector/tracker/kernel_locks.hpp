// What the kernel says about locks on files: /proc/locks, and whether two descriptors are one open
// file. Stateless: thread-safe, async-signal-safe, fork-safe.
#pragma once

#include <cstdint>

#include "detector/record/record.hpp"

namespace forkscope::kernel_locks {

struct Sought {
  record::LockType type;  ///< kFlock, kOfdLock or kRecordLock
  std::int32_t pid;       ///< who took it; the kernel does not tell for kOfdLock
  std::uint64_t device, inode;
  std::uint64_t begin, end;  ///< bytes it must overlap with, `end` excluded
};

/// Whether such a lock is held just now; false also where /proc is not to be had.
bool listed(const Sought& sought);

/// One line of /proc/locks, without its newline.
bool line_matches(const char* line, const Sought& sought);

/// Whether `descriptor` of this process and the same number in process `pid` are one open file.
/// Where the kernel does not compare (kcmp(2) needs ptrace access), true if `pid` lives.
bool same_open_file(std::int32_t pid, int descriptor);

}  // namespace forkscope::kernel_locks
