#include "detector/inspect/frozen_stack.hpp"

#include "detector/inspect/walk_stack.hpp"

namespace forkscope {

UnwoundStack unwind_frozen(const record::Registers& registers,
                           const std::vector<MemoryBytes>& memory,
                           const std::vector<ModuleRecord>& modules) {
  // One walker a stack: the copied bytes may cover unwind tables, which it keeps.
  StackWalker walker(modules);
  return walker.walk({registers.pc, registers.sp, registers.bp, registers.bx, {}, {}, {}, {}},
                     memory);
}

}  // namespace forkscope
