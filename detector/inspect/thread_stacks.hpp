// Stacks of the threads of a process, unwound and named, native and Python. Not thread-safe.
#pragma once

#include <vector>

#include "detector/inspect/known_registers.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// Without stopping anything: of threads that are blocked in a system call.
void take_blocked_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer);

/// Each thread is stopped in turn, for as long as copying its registers and stack takes. What could
/// not be stopped has the stack it would have without, and is named in `missing`.
void take_stopped_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer);

/// From registers that are known, one for each thread: a core file.
void take_core_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer,
                      const std::vector<KnownRegisters>& registers);

}  // namespace forkscope
