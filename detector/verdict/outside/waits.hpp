// What a thread that is blocked in a system call waits for, from the call's number and arguments.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>

#include "detector/verdict/outside/evidence.hpp"
#include "detector/verdict/outside/lock_layout.hpp"

namespace forkscope {

enum class WaitKind {
  kRunning,
  kFutex,     ///< wakes when somebody in reach of the word says so
  kOutside,   ///< the kernel, a descriptor, a child, a signal: not a lock
  kTime,      ///< ends by itself
  kStopped,   ///< by a signal or a debugger
  kUnknown,
};

struct Wait {
  WaitKind kind = WaitKind::kUnknown;
  std::string does;         ///< a predicate: "reads descriptor 5", "sleeps"
  bool for_ever = false;    ///< no time limit in the call itself
  std::optional<FutexWait> futex;
};

Wait wait_of(const ThreadEvidence& thread, Abi abi);
/// Of a thread that is blocked in this call.
Wait wait_of(const SystemCall& call, Abi abi);

}  // namespace forkscope
