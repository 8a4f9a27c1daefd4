// The locks that threads other than the forking one used around the forks of a run (learn=on).
// Pure but for Namer and Unwinder; not thread-safe because those are not.
#pragma once

#include <vector>

#include "detector/verdict/findings.hpp"

namespace forkscope {

/// One for each lock that stays the same from run to run, in the order they were met. Locks on heap
/// and stack that one place takes are one.
std::vector<LearnedLock> learned_locks(const Context& context, const Unwinder& unwind);

/// The lock of a finding and who else has it, without who met it. Pure.
LearnedLock lock_of_finding(Finding finding);

}  // namespace forkscope
