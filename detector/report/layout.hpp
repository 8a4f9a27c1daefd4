// Lines for a terminal: wrapping, frames, colour, and nothing that could steer the terminal.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "detector/report/print.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope {

/// Columns, counting each character as one.
std::size_t columns(std::string_view text);

/// At most `width` columns, "..." where the end is left out.
std::string shortened(const std::string& text, std::size_t width);

/// The text in lines of at most `width` columns, each after `indent` and ended by a newline. A word
/// that is longer gets a line of its own.
std::string wrapped(std::string_view text, std::size_t indent, int width);

/// "function  file:line  (module)", at most `width` columns: directories go first, then the end of
/// a long name.
std::string frame_words(const Frame& frame, int width);

/// How much of a stack is shown.
struct StackView {
  bool all = false;       ///< also what does not tell the program's story
  std::size_t most = 20;  ///< frames; the outer ones beyond are counted only
};

/// A stack, "#0 ..." on. Unless all is asked for, the C++ library's internals and what runs before
/// main() and start routines are left out; the numbers show the gaps.
std::string stack_lines(const std::vector<Frame>& stack, std::size_t indent, int width,
                        StackView view = {});

/// A Python stack, "py0 ..." on. All of the user's own frames are there. Of a
/// long one those of installed packages and of the standard library are counted only, the outer ones
/// first.
std::string python_lines(const std::vector<PythonFrame>& stack, std::size_t indent,
                         const TextOptions& options);

enum class Style { kAlarm, kWarning, kLabel, kGood };
std::string styled(std::string_view text, Style style, const TextOptions& options);

}  // namespace forkscope
