// Which lock a thread waits for that sleeps on a word of its own, as Abseil's threads do: the lock
// keeps a pointer into the ring of those that wait for it, so a word that the thread's stack points
// to and that points back is the lock. Reads memory, stops nothing. Not thread-safe.
#pragma once

#include <cstdint>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/lock_layout.hpp"

namespace forkscope {

/// The address of the absl::Mutex or absl::CondVar in whose queue the thread is; 0: none was found.
std::uint64_t abseil_lock(ProcessMemory& memory, const ProcessEvidence& process,
                          const ThreadEvidence& thread, const FutexWait& wait);

}  // namespace forkscope
