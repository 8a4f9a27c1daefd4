// Addresses to functions, lines and variables, with elfutils libdw, from the files on disk.
// Runs in the command only; not thread-safe but where it says so. Needs no live process.
#pragma once

#include <memory>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// A Namer over libdwfl. Separate debug files are found as gdb finds them (build-id below
/// /usr/lib/debug or FORKSCOPE_DEBUG_PATH, .gnu_debuglink), and through debuginfod when
/// DEBUGINFOD_URLS is set.
/// Files it cannot read give frames with module and offset only. Results are cached.
std::unique_ptr<Namer> make_namer();

/// The same by symbol tables alone: no lines, inlined functions and members of variables, and no
/// debug information is read, which for a large file takes seconds.
std::unique_ptr<Namer> make_symbol_namer();

/// The same for several threads: what one of them had read of a file the others need not read
/// again. Whoever asks while a file is read waits for that.
std::unique_ptr<Namer> make_shared_namer();

}  // namespace forkscope
