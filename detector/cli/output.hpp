// Writing to the terminal: whole texts through write(2), so that nothing waits in a stdio buffer
// when the program is forked or forkscope dies of the program's signal. Thread-safe.
#pragma once

#include <string>
#include <string_view>

#include "detector/report/print.hpp"

namespace forkscope::cli {

enum class Colour { kAuto, kAlways, kNever };

/// Makes descriptors 0-2 that are closed point to /dev/null, close-on-exec: a file of ours must not
/// become the standard error we print to, and the program still finds them closed.
void reserve_standard_descriptors();

/// Writes all of it, also to a non-blocking descriptor. Gives 0, or the errno of what stayed
/// unwritten.
int write_all(int fd, std::string_view text);

/// The same for what is told beside the answer, on a terminal or standard error. Errors are ignored:
/// nobody is left to tell.
void write_text(int fd, std::string_view text);

/// Writes what the command was asked for to standard output. Every answer goes through here: throws
/// Failure when it cannot be written, or what was asked would be lost in silence.
void write_answer(std::string_view text);

/// "forkscope: SENTENCE" on standard error, in one line that steers no terminal whatever names are
/// in it.
void say(std::string_view sentence);

/// Colour and width for text written to `fd`, and how much is told: 1 for -v, 2 for -vv. Automatic
/// colour: a terminal that is not dumb, and NO_COLOR unset; or CLICOLOR_FORCE. The width is the
/// terminal's, or COLUMNS.
TextOptions text_options(int fd, Colour colour, int verbose);

}  // namespace forkscope::cli
