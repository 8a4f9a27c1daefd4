// Locks on files that this process took, and what its forked children do with them.
//
// A flock(2) or open file description lock belongs to the open file, which a child shares: its
// unlock takes the lock from the parent. A record lock of fcntl(2) or lockf(3) belongs to the
// process: the child has none. What is said is checked with the kernel (/proc/locks), so a lock
// that was given back meanwhile is none.
//
// The table is lock-free, of fixed size (what finds no room is not known) and copied by fork: an
// entry older than the process is its parent's. Thread-safe, async-signal-safe, fork-safe.
#pragma once

#include <cstdint>

#include "detector/record/record.hpp"

namespace forkscope {

/// A call that takes or gives back a lock on a file. The range is for meet_file_lock() only.
struct FileLockCall {
  int descriptor;
  record::LockType type;  ///< kFlock, kOfdLock or kRecordLock
  record::Call call;
  bool unlocks;
  bool exclusive;
  bool whole;          ///< about all of the file, as far as is known without asking the kernel
  const void* caller;  ///< return address of the interposer
  std::uint64_t begin = 0, end = UINT64_MAX;  ///< bytes it is about, `end` excluded
};

/// Whether this is a forked process whose ancestors took such locks: only then meet_file_lock() has
/// something to say.
bool file_locks_inherited();

/// In the parent, before the system call: which files the locks are in. Asked here and not at every
/// lock, which costs hardly more than the asking.
void file_locks_before_fork();

/// Before the call: says so when it is about a lock of the parent's.
void meet_file_lock(const FileLockCall& call);

/// After the call succeeded.
void file_locked(const FileLockCall& call);

/// Whether flock() of this descriptor succeeded, here or in an ancestor, and was not undone since.
bool flock_taken_by(int descriptor);

}  // namespace forkscope
