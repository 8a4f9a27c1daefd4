// The Python frames of every thread of a CPython process (3.9 to 3.14), from outside and without
// stopping it: read from the interpreter's own structures, as tracebacks are made. The process
// needs no preparation and no debug information. Not thread-safe.
//
// Nothing read is trusted: every object is checked by its type, every list and length is bounded.
// A thread that runs Python code meanwhile may give a mixture of frames; one that waits does not.
//
//   _PyRuntime -> interpreters -> thread states -> frame -> frame it was called from -> ...
//                                                    |
//                                                    +-> code object: name, file, table of lines
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

class PythonReader {
 public:
  /// Null when there is no CPython in the process (`why_not` is then empty), or when its frames
  /// cannot be read: `why_not` is a clause, "CPython 3.15 is not known to forkscope".
  /// `memory` must outlive the reader. `mappings` are of the same moment as `modules`.
  static std::unique_ptr<PythonReader> open(ProcessMemory& memory,
                                            const std::vector<ModuleRecord>& modules,
                                            const std::vector<Mapping>& mappings,
                                            std::string* why_not = nullptr);
  virtual ~PythonReader() = default;

  /// Innermost first; empty when the thread runs no Python code or none that can be read.
  /// `own_tid` is the thread's ID in the PID namespace of the process; `sp`, a stack pointer of it,
  /// is asked where thread IDs do not decide (0: not known). At most 1024 frames.
  virtual std::vector<PythonFrame> frames(std::int32_t own_tid, std::uint64_t sp) = 0;

  /// "3.11.2"; "3.9" where the interpreter does not say more (before 3.11).
  virtual std::string version() const = 0;
};

}  // namespace forkscope
