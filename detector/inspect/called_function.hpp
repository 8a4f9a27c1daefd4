// Which function a call was made to, from its machine code. Names a frame whose function has no
// symbol: libc's local functions without its debug symbols, which exported ones jump to
// (pthread_once to __pthread_once_slow, sem_wait to __new_sem_wait_slow64). x86-64. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "detector/inspect/process_memory.hpp"

namespace forkscope {

/// Where the function begins that the call before `return_address` was made to, through the
/// procedure linkage table or directly. Nothing: the call is another kind, or cannot be read. What
/// it is worth depends on the address being one of a call, and on nobody having changed the table
/// since.
std::optional<std::uint64_t> called_function(ProcessMemory& memory, std::uint64_t return_address);

}  // namespace forkscope
