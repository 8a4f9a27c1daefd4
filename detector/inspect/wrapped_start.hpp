// Which function a thread was really started with, in a process that runs under libforkscope.so.
//
// There pthread_create is given a function of the library and, as its argument, the thread's
// record, which keeps the program's own function. glibc's descriptor of the thread has the former.
// Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct ThreadStart {
  std::uint64_t function = 0, argument = 0;
};

/// `given` is what glibc's descriptor has. Nothing unless its function is one of a library of this
/// version.
std::optional<ThreadStart> unwrapped(ProcessMemory& memory, const ProcessEvidence& process,
                                     const ThreadStart& given);

/// `start` and `argument` are what glibc's descriptor has. Gives `start` unless it is a function of
/// a library of this version.
std::uint64_t wrapped_start(ProcessMemory& memory, const ProcessEvidence& process,
                            std::uint64_t start, std::uint64_t argument);

}  // namespace forkscope
