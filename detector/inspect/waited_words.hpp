// Copies the memory around what threads wait for into the evidence. Not thread-safe.
#pragma once

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// For every thread in a futex system call; what cannot be read is left out.
void copy_waited_words(ProcessEvidence& process, ProcessMemory& memory);

}  // namespace forkscope
