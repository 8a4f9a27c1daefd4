// Stacks of the threads of a process, unwound and named. Not thread-safe.
#pragma once

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// Fills in `stack`, `start_routine` and `python` of every thread. With `stop` each thread is
/// stopped in turn, for as long as copying its registers and stack takes; without, only threads
/// blocked in a system call have a stack.
void take_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer, bool stop);

}  // namespace forkscope
