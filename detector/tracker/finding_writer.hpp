// Writes a Finding: the evidence of a meeting with a lock nobody will release, complete enough that
// nothing of the process is needed afterwards. Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

struct Meeting {
  const ThreadRecord* thread;  ///< who calls
  const void* object;          ///< mutex or condition variable
  const void* wait_mutex;      ///< of a condition wait
  const void* return_address;  ///< of the interposer
  const ThreadRecord* holder;  ///< who held it, or who should have signalled
  std::int32_t holder_tid;
  record::Kind kind;
  record::Severity severity;
  record::Call call;
  record::Evidence evidence;
  record::LockType lock_type;
  std::uint8_t lock_flags;
  std::uint32_t living;
};

/// Writes the record (and a text to standard error with log=stderr). Gives the finding's id, never
/// 0.
std::uint64_t write_finding(const Meeting& meeting);

void write_finding_end(std::uint64_t finding, record::Outcome outcome);

}  // namespace forkscope
