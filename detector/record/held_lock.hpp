// What a child adds to its Fork record, in place, while it lives.
#pragma once

#include <cstdint>

namespace forkscope::record {

/// HeldLock::reserved of a lock that the child has initialised or destroyed since the fork: what was
/// held is no more, and who takes it there does not wait.
inline constexpr std::uint8_t kRepairedInChild = 1;

}  // namespace forkscope::record
