// The program to run: where it is, whether it can be observed, why it could not be executed.
// Looks at files only; thread-safe.
#pragma once

#include <string>

#include "detector/cli/failure.hpp"

namespace forkscope::cli {

/// Finds `name` as execvp(3) does. Throws Failure with 127 when there is none, 126 when what there
/// is cannot be executed.
std::string find_program(const std::string& name);

/// Throws Failure when the preload library would not go along into `path` or, for a script, into
/// its interpreter: the program is not started half-observed.
void refuse_unobservable(const std::string& path);

/// What to say, and the exit status, when execve(`path`) failed with `error`.
Failure exec_failure(const std::string& path, int error);

/// The interpreter `path` names in its #! line or in PT_INTERP; empty when it names none.
std::string interpreter_of(const std::string& path);

}  // namespace forkscope::cli
