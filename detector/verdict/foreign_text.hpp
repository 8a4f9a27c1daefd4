// Text that comes from the observed program, its files or the command line: names of threads,
// files, processes, symbols and rules. It may hold what steers a terminal, and any amount of it.
// Everything printed goes through here. Pure functions; thread-safe.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace forkscope {

/// Control characters, bytes that are no UTF-8, and marks that reverse the direction of writing
/// become '?', each byte of them.
std::string printable(std::string_view text);

/// Printable, and at most `most` characters: of a longer text the front and the end, with "..."
/// between them.
std::string bounded(std::string_view text, std::size_t most);

/// 'TEXT' for a sentence: printable, and short enough for one line.
std::string in_quotes(std::string_view text);

/// Without the byte order mark that some editors put before UTF-8.
std::string_view without_byte_order_mark(std::string_view text);

}  // namespace forkscope
