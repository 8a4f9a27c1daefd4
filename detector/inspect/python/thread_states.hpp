// The interpreter's list of its threads, and which of them is which thread of the kernel.
// Not thread-safe.
//
// After fork the list still has the threads that were not copied, until PyOS_AfterFork_Child takes
// them off; a child that hangs before that, or was forked by C code, keeps them, and keeps the
// parent's thread ID in the entry of the one that is here. glibc's word for the thread ID is right
// even then (the kernel writes it), so that is asked first.
#pragma once

#include <cstdint>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope::python {

struct ThreadState {
  std::uint64_t address = 0;
  std::uint64_t interpreter = 0;
  std::uint64_t pthread = 0;   ///< pthread_t, 0: not running yet
  std::int32_t glibc_tid = 0;  ///< thread ID in glibc's descriptor, 0: gone or not glibc's
  std::int32_t native = 0;     ///< thread ID the interpreter wrote down, 0: none
  std::uint64_t frame = 0;     ///< thread_frame of the layout

  bool operator==(const ThreadState&) const = default;
};

class ThreadStates {
 public:
  ThreadStates(ProcessMemory& memory, const InterpreterLayout& layout, std::uint64_t runtime,
               std::vector<Mapping> mappings)
      : memory_(memory), layout_(layout), runtime_(runtime), mappings_(std::move(mappings)) {}

  /// Reads the list anew. False: what is there is no such list.
  bool refresh();
  const std::vector<ThreadState>& all() const { return states_; }

  /// A thread has a state in every interpreter it is in, the newest interpreter's first.
  std::vector<ThreadState> of(std::int32_t own_tid, std::uint64_t sp);

 private:
  bool read_interpreter(std::uint64_t interpreter, std::vector<ThreadState>& out);
  bool read_state(std::uint64_t address, ThreadState& out);
  std::int32_t glibc_tid(std::uint64_t pthread);
  std::vector<ThreadState> match(std::int32_t own_tid, std::uint64_t sp) const;
  bool current(const ThreadState& state);
  bool list_grew();

  ProcessMemory& memory_;
  const InterpreterLayout& layout_;
  std::uint64_t runtime_;
  std::vector<Mapping> mappings_;
  std::vector<ThreadState> states_;
  std::vector<std::uint64_t> interpreters_;  ///< in the list's order
  std::vector<std::uint64_t> heads_;         ///< first thread state of each
};

}  // namespace forkscope::python
