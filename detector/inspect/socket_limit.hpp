// Whether a socket of another process has a time limit (SO_RCVTIMEO, SO_SNDTIMEO): the kernel then
// ends its calls with EINTR when the thread is stopped, and continues them otherwise (signal(7)).
// The descriptor is copied for the question with pidfd_getfd(2), Linux 5.6 and later; the process
// does not notice. Thread-safe.
#pragma once

#include <sys/types.h>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

enum class SocketLimit {
  kNone,  ///< no socket, or one without a limit, or no call that a limit is of
  kLimited,
  kUnknown,  ///< a socket that cannot be asked
};

/// The time limit of the call that a thread is blocked in. `name` is set to the call's unless
/// kNone.
SocketLimit socket_limit(pid_t pid, const SystemCall& call, const char*& name);

}  // namespace forkscope
