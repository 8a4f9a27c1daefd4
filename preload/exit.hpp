#pragma once

namespace forkscope {

/// Records that the process ends with this status. Async-signal-safe; usable in a vfork child.
void note_exit(int status);

}  // namespace forkscope
