// Questions about the threads a fork did not copy, asked in the forked child: who had this lock,
// who worked with this object, is anybody left. Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// Whether a fork between its process and this one left it behind.
bool is_lost(const ThreadRecord& thread);

/// Whether a thread of this process has this TID: one that was created since, or one not tracked.
bool lives_here(std::int32_t tid);

/// The lost thread with this TID; of several (reused TIDs) one that has the lock recorded.
const ThreadRecord* lost_owner(std::int32_t tid, const void* lock);

/// A lost thread whose table says that it has `lock`, a lock of this type, in state `hold`. Of
/// several the one that took it last.
struct LostHolder {
  const ThreadRecord* thread = nullptr;
  std::uint8_t flags = 0;
  std::uint32_t time = 0;
};
LostHolder lost_holder(const void* lock, record::LockType type, Hold hold);

/// A lost thread that was just taking or releasing `lock`; the type is kUnknown for mutexes.
const ThreadRecord* in_transit(const void* lock, record::LockType type);

/// In a forked child: what lost threads had of `lock` means nothing any more. The child's copies of
/// their tables are its own.
void forget_lost(const void* lock, record::LockType type);

/// A thread of this process, other than the calling one, whose table says that it has the lock.
bool held_here(const ThreadRecord& caller, const void* lock, record::LockType type);

/// Whether an interval or POSIX timer of the process is armed.
bool has_timers();

/// Whether `object` existed at the fork, as far as addresses tell: variables of modules, and
/// thread-local ones of the forking thread. Nothing tells on the heap and on the stack.
bool inherited(const ThreadRecord& caller, const void* object);

/// Whether it waited for `object` at the fork, or was among the last to signal, post or wake it.
bool waited_on(const ThreadRecord& thread, const void* object);
bool signalled(const ThreadRecord& thread, const void* object);

/// A lost thread that did either, those that signalled it first; null if there is none.
const ThreadRecord* lost_partner(const void* object);

/// Whether the calling thread is surely alone in its process, by the kernel's count: threads made
/// without pthread_create are not known here. Not where /proc cannot tell.
bool surely_alone();

/// Whether a signal handler of the program's is installed, which may post a semaphore or wake a
/// futex; not counting that of SIGINT, which interpreters always have, nor those of errors of the
/// thread itself. True also when the kernel does not tell.
bool has_signal_handlers();

}  // namespace forkscope
