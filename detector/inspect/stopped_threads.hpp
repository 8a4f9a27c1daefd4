// Stops threads of another process, one at a time and for as long as it takes to copy registers and
// stack: `--stacks`. Unwinding comes after they run again. Not thread-safe.
//
// Each thread is seized and let go by a helper thread of ours: what a tracer holds when it ends,
// for whatever reason, the kernel lets go (ptrace(2)), a thread that could not be stopped in time
// included, which PTRACE_DETACH refuses. A thread that was stopped by a signal stays stopped.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "detector/inspect/known_registers.hpp"
#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct StoppedThread {
  KnownRegisters registers;
  std::vector<std::uint64_t> general;  ///< all general ones, in the kernel's order
  std::optional<SystemCall> call;  ///< nothing: in its own code
  MemoryBytes stack;               ///< from its stack pointer upwards
};

/// What cannot be stopped or read of it is named.
using ThreadStop = std::variant<StoppedThread, Missing>;

class ThreadStopper {
 public:
  struct Limits {
    std::chrono::milliseconds wait{100};  ///< for a thread to stop
    std::size_t stack = 256 << 10;        ///< bytes of it to copy
  };

  /// `mappings` say where stacks end. The memory is read while a thread is stopped.
  ThreadStopper(pid_t pid, ProcessMemory& memory, const std::vector<Mapping>& mappings)
      : ThreadStopper(pid, memory, mappings, Limits()) {}
  ThreadStopper(pid_t pid, ProcessMemory& memory, const std::vector<Mapping>& mappings,
                Limits limits)
      : pid_(pid), memory_(memory), mappings_(mappings), limits_(limits) {}

  /// Throws what reading the memory throws, after the thread runs again.
  ThreadStop look(pid_t tid);

 private:
  ThreadStop stop(pid_t tid);
  ThreadStop copy(pid_t tid);
  MemoryBytes stack_from(std::uint64_t sp);
  Missing refused(pid_t tid, int error) const;

  pid_t pid_;
  ProcessMemory& memory_;
  const std::vector<Mapping>& mappings_;
  Limits limits_;
};

/// The name of a system call that a stop ends with EINTR, although no signal handler runs
/// (signal(7), "Interruption of system calls and library functions by stop signals"); null for
/// others, which the kernel continues. Of sockets with a time limit socket_limit() tells.
const char* disturbed_call(long number);

}  // namespace forkscope
