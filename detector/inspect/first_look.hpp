// The look at a process the moment it wrote a finding, while it waits to be let go on: only what
// nothing else tells, as fast as can be. Nothing is named, which may take seconds. Stops nothing;
// not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "detector/verdict/report.hpp"

namespace forkscope {

struct LookTarget {
  pid_t pid = 0, tid = 0;
  std::int32_t holder_tid = 0;  ///< as the process it is a thread of counts; 0: none
  std::uint64_t inode = 0;      ///< of its session's records, which it has mapped: else it is another
};

/// Python frames of the thread, and of the holder where that lives on in the process this one is a
/// copy of, or in one further up. Nothing when it is not that process, or there is nothing to tell.
std::optional<FirstLook> first_look(const LookTarget& target);

}  // namespace forkscope
