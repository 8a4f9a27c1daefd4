// Unwinds a thread of another process, or of a core file, with libunwind's remote interface and the
// unwind tables of the ELF files. Never stops a thread. Bounded in frames and work. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

/// What is known of a thread's registers. Of a thread that is blocked and not stopped only pc and
/// sp are: the walk ends where a caller's frame depends on one that no inner frame saved.
struct KnownRegisters {
  std::uint64_t pc = 0, sp = 0;
  std::optional<std::uint64_t> bp, bx, r12, r13, r14, r15;
};

/// Reads code and unwind tables from the files that `modules` names, opened at `root` + path (root
/// is empty, or /proc/PID/root of a process in another mount namespace), stacks from `memory`.
/// The first address is registers.pc itself.
UnwoundStack walk_stack(const KnownRegisters& registers, ProcessMemory& memory,
                        const std::vector<ModuleRecord>& modules);

}  // namespace forkscope
