// Unwinds a thread of another process, of a core file or of the past, with libunwind's remote
// interface and the unwind tables of the ELF files. Never stops a thread. Bounded in frames and
// work. Not thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "detector/inspect/known_registers.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

struct WalkedStack : UnwoundStack {
  /// How many of the addresses, from the innermost, follow from unwind tables and known registers.
  /// The rest hangs on a frame that was found by its looks: see frame_base.hpp.
  std::size_t certain = 0;
};

/// Walks stacks of one process. Keeps the files and what their tables say of each instruction, so
/// make one for all threads. What it is given must outlive it and not change.
class StackWalker {
 public:
  /// Code and unwind tables come from the files that `modules` names, the vDSO's (a module called
  /// "[vdso]", its link-time address 0 at its start) and stacks from `memory`.
  StackWalker(ProcessMemory& memory, const std::vector<ModuleRecord>& modules);
  /// There is no process, only what walk() is given.
  explicit StackWalker(const std::vector<ModuleRecord>& modules);
  ~StackWalker();
  StackWalker(const StackWalker&) = delete;
  StackWalker& operator=(const StackWalker&) = delete;

  /// The first address is registers.pc itself. `complete` is set only when the unwind tables
  /// declare that nothing called the last frame (_start, clone); a zero on the stack does not prove
  /// that. Code without a module's record or file ends the walk, with its address as the last one.
  WalkedStack walk(const KnownRegisters& registers);
  /// The same for a stack that was copied; earlier bytes win where two overlap. Nothing else of the
  /// process's memory is believed to be the stack.
  WalkedStack walk(const KnownRegisters& registers, const std::vector<MemoryBytes>& copies);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace forkscope
