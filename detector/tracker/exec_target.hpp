// What an exec of a file will start, as far as a preload library must know.
//
// Raw system calls only, a descriptor open for microseconds: async-signal-safe, fork-safe, usable
// in a vfork child; also used by the command. The answer can be out of date when the file changes.
#pragma once

#include "detector/record/record.hpp"

namespace forkscope {

/// Follows #! lines. kObserved also for what it cannot tell (not ELF: a shell will run it).
record::NotObserved exec_target(const char* path);

/// The file execvp(3) would run: `file` itself when it has a slash, else the first executable in
/// `search_path` (null: the default of confstr). Gives `buffer` or `file`.
const char* resolve_in_path(const char* file, const char* search_path, char* buffer,
                            std::size_t size);

}  // namespace forkscope
