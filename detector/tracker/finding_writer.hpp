// Writes a Finding: the evidence of a meeting with a lock nobody will release, complete enough that
// nothing of the process is needed afterwards. Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

namespace history {
struct Use;
}

/// Only what is known need be set.
struct Meeting {
  const ThreadRecord* thread = nullptr;  ///< who calls
  const void* object = nullptr;          ///< the lock, or what is waited for
  std::uint32_t object_size = 40;        ///< bytes of it to keep, up to 40; 0: `words` instead
  std::uint32_t words[5] = {};           ///< see record::Finding
  const void* wait_mutex = nullptr;      ///< of a condition wait
  const void* return_address = nullptr;  ///< of the interposer
  const ThreadRecord* holder = nullptr;  ///< who held it, or who should have signalled
  std::int32_t holder_tid = 0;
  const void* holder_caller = nullptr;  ///< where, if not in the holder's table
  record::Kind kind = record::Kind::kOrphanedLock;
  record::Severity severity = record::Severity::kHazard;
  record::Call call = record::Call::kMutexLock;
  record::Evidence evidence = record::Evidence::kNobodyLeft;
  record::LockType lock_type = record::LockType::kUnknown;
  std::uint8_t lock_flags = 0;
  std::uint32_t living = 0;
  std::uint64_t fork = 0;      ///< its id where the holder and the process do not tell
  std::int32_t by = 0;         ///< pid of a vfork child, which is not process.pid
  const char* text = nullptr;  ///< path of the file that is locked or was mapped
  std::uint64_t range_begin = 0, range_end = 0;
  const history::Use* use = nullptr;  ///< what `holder` did with the lock before the fork
  std::uint32_t repeat = 0;           ///< see record::Finding
  record::Type type = record::Type::kFinding;  ///< or kLearned, which nobody is told of
  InjectProbed probed = InjectProbed::kNothing;
  const std::uint64_t* waiter = nullptr;  ///< where the program's children make the call; null:
  std::uint16_t waiter_frames = 0;        ///< the stack of this one
};

/// Writes the record (and a text to standard error with log=stderr). Gives the finding's id, never
/// 0.
std::uint64_t write_finding(const Meeting& meeting);

void write_finding_end(std::uint64_t finding, record::Outcome outcome);

}  // namespace forkscope
