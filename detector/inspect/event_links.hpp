// Events that no living thread can cause: a thread waits for ever on a variable of the program, and
// the code of none of the other threads refers to it, directly or in what it calls. A thread that
// calls functions by pointers, or whose stack is not known, may cause anything. x86-64. Nothing is
// stopped; not thread-safe.
#pragma once

#include <cstdint>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// TIDs of the threads that wait so, beside others that live.
std::vector<std::int32_t> unserved_waits(ProcessMemory& memory, const Evidence& evidence,
                                         Namer& namer);

}  // namespace forkscope
