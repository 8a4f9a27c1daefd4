// The environment the program gets: the preload library and its options added to what is there.
// Reads the process's own environment; not thread-safe beside setenv.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "detector/record/options.hpp"

namespace forkscope::cli {

/// libforkscope.so, found relative to this executable so that an installation can be moved.
/// Absolute. Throws Failure when it is missing or has a name LD_PRELOAD cannot carry.
std::string preload_library();

/// A value for FORKSCOPE_OPTIONS, with ':' and '\' escaped.
std::string escape_option(const std::string& value);

/// NAME=value strings for execve: LD_PRELOAD with `library` first, FORKSCOPE_OPTIONS with the
/// user's own options first and ours after them, where the later one wins. `on_deadlock` empty:
/// the user's, or the default; so with `unsafe_calls` true. `more` is put at the end. Throws Failure
/// when the user's options are not valid.
std::vector<std::string> program_environment(const std::string& library, const std::string& session,
                                             const std::string& on_deadlock, bool unsafe_calls,
                                             bool check_descriptors,
                                             const std::string& more = "");

/// What happens to a child that deadlocks, of --on-deadlock or, when that is empty, of the user's
/// FORKSCOPE_OPTIONS. Throws Failure when those are not valid.
OnDeadlock on_deadlock_action(const std::string& on_deadlock);

/// Whether the user's FORKSCOPE_OPTIONS says what happens to a child that deadlocks. Throws Failure
/// when those are not valid.
bool environment_has_on_deadlock();

/// Why `value` is none for --on-deadlock, as a sentence; empty when it is one.
std::string on_deadlock_error(const std::string& value);

}  // namespace forkscope::cli
