#pragma once

#include <cstdint>

namespace forkscope {

/// Records that the process ends with this status. Async-signal-safe; usable in a vfork child.
void note_exit(int status);

/// Records that another process, whose end no wrapper saw, ended with this status.
void note_exit_of(std::int32_t process, int status);

}  // namespace forkscope
