// libunwind's view of a process: accessors over UnwindMemory, UnwindTables and KnownRegisters.
// Private to walk_stack.cpp. Not thread-safe.
#pragma once

#include <libunwind.h>

#include "detector/inspect/known_registers.hpp"
#include "detector/inspect/unwind_memory.hpp"
#include "detector/inspect/unwind_tables.hpp"

namespace forkscope {

/// What the accessors work on.
struct UnwindTarget {
  UnwindTarget(ProcessMemory* process, const std::vector<ModuleRecord>& modules)
      : memory(process, modules), tables(memory) {}

  UnwindMemory memory;
  UnwindTables tables;
  KnownRegisters registers;
  int reads_left = 0;
  /// Whether the frame just left has an unwind table. libunwind does not ask again for instructions
  /// it knows, so the answer is yes until it asked in vain.
  bool has_tables = true;
  bool missing_register = false;  ///< one was asked for that is not known
};

/// Owns a unw_addr_space_t. Cursors made with it take an UnwindTarget as their argument.
class UnwindSpace {
 public:
  UnwindSpace();
  ~UnwindSpace();
  UnwindSpace(const UnwindSpace&) = delete;
  UnwindSpace& operator=(const UnwindSpace&) = delete;
  unw_addr_space_t get() const { return space_; }

 private:
  unw_accessors_t accessors_;
  unw_addr_space_t space_;
};

}  // namespace forkscope
