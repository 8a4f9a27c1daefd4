// Loops that only wait, told by their machine code: they read memory, compare, pause and go round.
// Nothing in such a loop is stored outside of its stack frame, no function is called that could do
// more than pause, and no way out depends on anything that the loop counts or computes, or on how a
// pause ended. A loop of which that is not certain is none. x86-64. Nothing is stopped; not
// thread-safe.
#pragma once

#include <vector>

#include "detector/inspect/glibc_threads.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// Of threads that run, give the processor away, nap, or wait for a limited time, and whose stack is
/// known. `left`: of threads that were not copied, what they were started with.
std::vector<WaitingLoop> waiting_loops(ProcessMemory& memory, const Evidence& evidence,
                                       const std::vector<LeftThread>& left, Namer& namer);

}  // namespace forkscope
