// Memory that fork does not copy: ranges marked MADV_DONTFORK (absent in the child) and
// MADV_WIPEONFORK (zeroed there), and the child that dies of it.
//
// Only in a child that lacks such memory, and only while SIGSEGV has its default action, a handler
// of ours writes the finding and gives the signal back: the child dies as it would alone. The table
// of ranges is lock-free and of fixed size. Thread-safe, async-signal-safe, fork-safe.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkscope::missing_memory {

/// After an madvise that succeeded. Advice that is not about fork is ignored.
void note_advice(const void* address, std::size_t length, int advice, const void* caller);
/// Whether note_advice() wants to know of it.
bool is_fork_advice(int advice);

/// In the parent, before the system call: what of it is mapped. Costs nothing without such ranges.
void before_fork();
/// In the child: what of that is gone. Installs the handler if there is any.
void in_child();

/// The kernel's struct sigaction.
struct KernelAction {
  std::uint64_t handler, flags, restorer, mask;
};
/// The handler's address as the kernel has it, for whoever reads the actions of signals.
std::uint64_t handler_address();
/// The action of SIGSEGV that the handler stands for.
const KernelAction& replaced_action();

}  // namespace forkscope::missing_memory
