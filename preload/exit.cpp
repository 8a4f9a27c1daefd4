// _exit and _Exit; exit() ends in the handler that init.cpp registers, as libc's own last call of
// _exit does not pass any interposer.
#include "preload/exit.hpp"

#include "detector/tracker/registry.hpp"
#include "detector/tracker/shared_descriptors.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"

namespace forkscope {

void note_exit(int status) {
  if (process.pid == 0) return;
  shared_descriptors::at_exit();
  // The system call only where the answer is open: a sandboxed program may be allowed little more
  // than to exit.
  bool open = process.shares_memory.load(std::memory_order_relaxed) != 0;
  std::int32_t pid = open ? sys::getpid() : process.pid;
  ThreadRecord* thread = detail::self;
  std::uint64_t fork = pid != process.pid && thread != nullptr ? thread->vfork : 0;
  process.count(&record::Counters::exits);
  if (!process.arena.crowded())
    process.append(record::Type::kExit, record::Exit{fork, status, 0}, pid);
}

void note_exit_of(std::int32_t other, int status) {
  process.count(&record::Counters::exits);
  if (!process.arena.crowded())
    process.append(record::Type::kExit, record::Exit{0, status, 0}, other);
}

}  // namespace forkscope

FORKSCOPE_EXPORT void _exit(int status) {
  forkscope::note_exit(status);
  forkscope::real()._exit(status);
  __builtin_unreachable();
}

FORKSCOPE_EXPORT void _Exit(int status) noexcept {
  forkscope::note_exit(status);
  forkscope::real()._Exit(status);
  __builtin_unreachable();
}
