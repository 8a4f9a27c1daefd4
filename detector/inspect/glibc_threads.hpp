// The threads a process was left without by fork, from glibc's own lists in its memory.
//
// glibc keeps a descriptor (struct pthread) at the top of every thread's stack, and the stacks in
// lists. In a forked child reclaim_stacks() (nptl/nptl-stack.c) moves the stacks of all threads that
// were not copied to the list of stacks to be used again, and clears their TIDs. There they stay
// until the child makes threads of its own. What tells them from the stacks of threads that had ended
// before: those set a bit in `cancelhandling` when they exit. A child that was made around the at-fork
// code (_Fork, clone) has them still in the list of stacks in use, with the TIDs of the parent.
//
// Where the lists and fields are, glibc says itself, for debuggers: _thread_db_* (nptl_db/structs.def),
// exported by libc since 2.34. Older ones, static programs and musl are not known. Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct LeftThread {
  std::int32_t own_tid = 0;         ///< as the parent knew it; 0: cleared by fork
  std::uint64_t start_routine = 0;  ///< address of the function given to pthread_create
  std::uint64_t descriptor = 0;     ///< address of its struct pthread: its stack ends there
};

struct GlibcThreads {
  /// Threads that had not ended when the process was forked and are not in it.
  std::vector<LeftThread> left;
  /// There are stacks of threads that have ended, before the fork or after it.
  bool ended = false;
  /// Where the TID of the first thread is kept: the same place as that of the thread that forked, in
  /// the memory of the process it is a copy of. 0: not found.
  std::uint64_t first_tid_address = 0;
};

/// Nothing: the lists are not known, or could not be read.
std::optional<GlibcThreads> glibc_threads(ProcessMemory& memory, const ProcessEvidence& process);

}  // namespace forkscope
