// What a finding says in one sentence, in the user's terms: their own line first, then the library
// they know, then what fork did to it. One function of a Finding, used by every printer.
// Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// "app/jobs.py:41 in DataFrame.filter": the innermost line of the user's own and, where that calls
/// a library, the function that it calls. Empty where neither stack has a line of the user's.
std::string own_place(const std::vector<PythonFrame>& python, const std::vector<Frame>& stack);

/// Without arguments and template arguments where it is long: those take more room than they tell.
std::string bare_function(const std::string& function);

/// "worker (pid 4711) hangs at app/jobs.py:41 in DataFrame.filter: the threads of polars 1.9.0 were
/// not copied by fork()". Of what is no hang: the process and its verdict. Not cleaned for a
/// terminal.
std::string headline_words(const Finding& finding);

/// Files of installed libraries that the waiting thread is in, the one to name first in front: of
/// Python's frames before machine code, for a package is known by what one imports.
std::vector<std::string> library_files(const Finding& finding);

/// "polars-0 and 7 more": threads of one pool are one entry, in the order of their first.
std::vector<std::string> thread_groups(const std::vector<ThreadReport>& threads);

}  // namespace forkscope
