// Whether a thread that fork did not copy knows of what a thread of the child waits on: its stack
// has a pointer to it, or to something that leads there, or the code it was in refers to it. Who
// parks for ever on purpose waits on a word that nobody else knows; who waits for a lost thread
// waits on something that both know.
//
// Everything is read in the child's memory, where the stacks of those threads are as they were at
// the fork, until threads of the child are given them; then in the parent's, if it is there. Objects are those of glibc's malloc, judged by their headers; bounded in work. x86-64
// for code, any for the rest. Nothing is stopped. Not thread-safe.
#pragma once

#include <optional>
#include <vector>

#include "detector/inspect/glibc_threads.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct LinkMemory {
  ProcessMemory& own;
  ProcessMemory* parent = nullptr;  ///< of the process it is a copy of; null: gone, or a core file
};

/// One for each thread of the process that waits for ever on a futex and of which such a thread
/// knows. `left`: where glibc has their stacks, for those whose process is gone.
std::vector<WaitLink> wait_links(const LinkMemory& memory, const Evidence& evidence,
                                 const std::vector<LeftThread>& left, Namer& namer);

/// For each thread of the process that waits for ever for a lock without an owner word: the first
/// other thread of the process that is found to know of that lock, in the same way but from all the
/// code it is in. A thread that waits for the same lock does not count. Nothing where there is no
/// such wait, or more to look at than the bounds allow. Of a stack that could not be read to its end
/// every word may be of a frame.
std::optional<std::vector<WaitLink>> living_links(const LinkMemory& memory,
                                                  const Evidence& evidence, Namer& namer);

}  // namespace forkscope
