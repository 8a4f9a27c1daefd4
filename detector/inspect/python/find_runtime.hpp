// Where the interpreter of a process has its state, and which version it is. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector/inspect/process_memory.hpp"
#include "detector/inspect/python/interpreter_layout.hpp"
#include "detector/verdict/outside/evidence.hpp"

namespace forkscope::python {

struct Runtime {
  std::uint64_t address = 0;  ///< of _PyRuntime
  std::string module;         ///< path of the file it belongs to
  /// PY_VERSION_HEX, which the interpreter exports since 3.11; 0 without.
  std::uint32_t version = 0;
};

/// Nothing: no module of the process has CPython (3.7 or later) in it.
std::optional<Runtime> find_runtime(ProcessMemory& memory,
                                    const std::vector<ModuleRecord>& modules);

/// The 9 of 3.9, from the names of files: of the interpreter's own ("libpython3.9.so.1.0", then it
/// is that), else of what else is loaded ("/usr/lib/python3.9/lib-dynload/..."), else every one
/// that does not say its version itself. Each once, likeliest first.
std::vector<int> likely_versions(const Runtime& runtime, const std::vector<Mapping>& mappings);

}  // namespace forkscope::python
