// What is done about a meeting: written once, and for a deadlock what on_deadlock says.
// Async-signal-safe; safe in a forked child.
#pragma once

#include "detector/tracker/finding_writer.hpp"

namespace forkscope {

struct Conclusion {
  std::uint64_t finding = 0;  ///< 0: told before, or no room
  bool broken = false;        ///< --on-deadlock=break: the caller has to take the lock away
};

/// Whether the process may be ended for a deadlock. A wait that a signal handler might still end is
/// told, and never acted upon.
enum class Act { kYes, kNo };

/// `breakable`: there is a lock that can be taken away; letting a mere wait through would only make
/// it spin.
Conclusion conclude(const Meeting& meeting, bool breakable, Act may_act = Act::kYes);

/// The deadlock on `object` was none: it may be told again.
void take_back(std::uint64_t finding, const void* object);

}  // namespace forkscope
