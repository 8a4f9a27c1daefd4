// Unwinds the stack of a thread that no longer exists, from registers kept at an acquire and from
// bytes of its stack, with libunwind's remote interface; unwind tables come from the ELF files.
// Runs in the command only; not thread-safe. Registers, memory and files may be damaged: the walk
// is bounded in frames and in work, and ends where the evidence does.
#pragma once

#include "detector/verdict/report.hpp"

namespace forkscope {

/// The first address is registers.pc itself. `complete` is set only when the unwind tables declare
/// that nothing called the last frame (_start, clone); a zero on the stack does not prove that.
/// Modules whose records are missing end the walk early, with their address as the last one.
UnwoundStack unwind_frozen(const record::Registers& registers,
                           const std::vector<MemoryBytes>& memory,
                           const std::vector<ModuleRecord>& modules);

}  // namespace forkscope
