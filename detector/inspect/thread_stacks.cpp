#include "detector/inspect/thread_stacks.hpp"

#include <algorithm>
#include <string_view>

#include "detector/inspect/walk_stack.hpp"
#include "detector/verdict/address_space.hpp"

namespace forkscope {
namespace {

bool is_libc(const Frame& frame) {
  const std::string_view path = frame.module;
  const std::string_view name = path.substr(path.rfind('/') + 1);
  return name.starts_with("libc.so") || name.starts_with("libc-2.") ||
         name.starts_with("libpthread") || name.starts_with("ld-");
}

/// The outermost function that is not libc's own: what the thread was created to run.
std::optional<Frame> start_of(const std::vector<Frame>& stack) {
  for (auto frame = stack.rbegin(); frame != stack.rend(); ++frame)
    if (!is_libc(*frame) && !is_standard_library(*frame) && !frame->inlined) return *frame;
  return std::nullopt;
}

}  // namespace

void take_stacks(ProcessEvidence& process, ProcessMemory& memory, Namer& namer, bool) {
  const AddressSpace space(process.modules, nullptr, namer);
  StackWalker walker(memory, process.modules);
  for (ThreadEvidence& thread : process.threads) {
    if (!thread.call || thread.call->pc == 0) continue;
    KnownRegisters registers;
    registers.pc = thread.call->pc;
    registers.sp = thread.call->sp;
    const WalkedStack unwound = walker.walk(registers);
    thread.stack = space.stack(unwound.addresses);
    thread.stack_source = StackSource::kBlocked;
    thread.stack_complete = unwound.complete;
    if (unwound.complete && thread.own_tid != process.own_pid)
      thread.start_routine = start_of(thread.stack);
  }
}

}  // namespace forkscope
