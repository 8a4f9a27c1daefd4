#include "detector/report/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "detector/verdict/code_origin.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMinNameWidth = 24;
constexpr std::size_t kFrameNumberWidth = 4;  // "#0  "

}  // namespace

std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

std::string shortened(const std::string& text, std::size_t width) {
  if (columns(text) <= width) return text;
  std::string kept;
  std::size_t used = 0;
  for (char c : text) {
    const bool starts_character = (c & 0xc0) != 0x80;
    if (starts_character && used + 3 >= width) break;
    used += starts_character;
    kept += c;
  }
  return kept + "...";
}

std::string wrapped(std::string_view text, std::size_t indent, int width) {
  const std::string margin(indent, ' ');
  const std::size_t room = std::max<std::size_t>(
      kMinNameWidth,
      static_cast<std::size_t>(std::max(width, 0)) -
          std::min<std::size_t>(indent, static_cast<std::size_t>(std::max(width, 0))));
  std::string lines, line;
  const auto flush = [&] {
    if (!line.empty()) lines += margin + line + "\n";
    line.clear();
  };
  const std::string clean = printable(text);
  for (std::size_t begin = 0; begin < clean.size();) {
    const std::size_t end = std::min(clean.find(' ', begin), clean.size());
    const std::string word = clean.substr(begin, end - begin);
    begin = end + 1;
    if (word.empty()) continue;
    if (!line.empty() && columns(line) + 1 + columns(word) > room) flush();
    if (!line.empty()) line += ' ';
    line += word;
  }
  flush();
  return lines;
}

std::string frame_words(const Frame& frame, int width) {
  const std::string module = base_name(printable(frame.module));
  std::string name = printable(frame.function);
  std::string place = printable(frame.file);
  if (name.empty()) {
    name = module.empty() ? fmt::format("{:#x}", frame.address)
                          : fmt::format("{}+{:#x}", module, frame.offset);
  }
  const std::string line = frame.line > 0 ? fmt::format(":{}", frame.line) : "";
  const std::string tail = (module.empty() || frame.function.empty() ? "" : "  (" + module + ")") +
                           std::string(frame.inlined ? "  [inlined]" : "");
  const auto total = static_cast<std::size_t>(std::max(width, 0));
  const auto used = [&] {
    return columns(place) + columns(line) + columns(tail) + (place.empty() ? 0 : 2);
  };
  if (columns(name) + used() > total) place = base_name(place);
  const std::size_t left = total > used() ? total - used() : 0;
  name = shortened(name, std::max(left, kMinNameWidth));
  return name + (place.empty() ? "" : "  " + place + line) + tail;
}

namespace {

/// What calls main() or a thread's start routine.
bool before_main(const Frame& frame) {
  static constexpr std::string_view kNames[] = {"_start",
                                                "__libc_start_main",
                                                "__libc_start_main_impl",
                                                "__libc_start_call_main",
                                                "start_thread",
                                                "__clone3",
                                                "clone3",
                                                "clone"};
  return std::find(std::begin(kNames), std::end(kNames), frame.function) != std::end(kNames);
}

/// Indices of the frames that tell the program's story; all when that leaves none.
std::vector<std::size_t> worth_showing(const std::vector<Frame>& stack, bool all) {
  std::vector<std::size_t> chosen, every;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    every.push_back(i);
    if (!is_library_internal(stack[i]) && !before_main(stack[i])) chosen.push_back(i);
  }
  return all || chosen.empty() ? every : chosen;
}

}  // namespace

std::string stack_lines(const std::vector<Frame>& stack, std::size_t indent, int width,
                        StackView view) {
  const std::string margin(indent, ' ');
  const std::vector<std::size_t> chosen = worth_showing(stack, view.all);
  const std::size_t shown =
      chosen.size() <= view.most + 1 ? chosen.size() : view.most;  // never "1 more"
  const int room = width - static_cast<int>(indent + kFrameNumberWidth);
  std::vector<Frame> frames;
  for (std::size_t i = 0; i < shown; ++i) frames.push_back(stack[chosen[i]]);
  // Directories in all lines or in none: a mixture is hard to scan.
  const bool with_directories = std::all_of(frames.begin(), frames.end(), [&](const Frame& frame) {
    return static_cast<int>(columns(frame_words(frame, std::numeric_limits<int>::max()))) <= room;
  });
  std::string lines;
  for (std::size_t i = 0; i < shown; ++i) {
    if (!with_directories) frames[i].file = base_name(frames[i].file);
    lines += fmt::format("{}#{:<2} {}\n", margin, chosen[i], frame_words(frames[i], room));
  }
  if (shown < chosen.size()) {
    lines += fmt::format("{}    ... {} more (see --json)\n", margin, chosen.size() - shown);
  }
  return lines;
}

namespace {

bool same_place(const PythonFrame& a, const PythonFrame& b) {
  return a.line == b.line && a.function == b.function && a.file == b.file;
}

/// "... 7 frames of the standard library and 2 of installed packages".
std::string folded_words(std::size_t standard, std::size_t installed) {
  const auto frames = [](std::size_t count) {
    return fmt::format("{} frame{}", count, count == 1 ? "" : "s");
  };
  if (installed == 0) return "... " + frames(standard) + " of the standard library";
  const std::string words = "... " + frames(installed) + " of installed packages";
  return standard == 0 ? words
                       : words + fmt::format(" and {} of the standard library", standard);
}

/// Which frames are shown: the user's own, and of the others the innermost ones there is room for.
std::vector<bool> shown_frames(const std::vector<PythonFrame>& stack, std::size_t most) {
  std::size_t own = 0;
  for (const PythonFrame& frame : stack) own += python_origin(frame.file) == Origin::kOwn;
  constexpr std::size_t kLeastOthers = 3;  // what the call that waits is
  std::size_t room = std::max(most > own ? most - own : 0, kLeastOthers);
  std::vector<bool> shown;
  for (const PythonFrame& frame : stack) {
    const bool mine = python_origin(frame.file) == Origin::kOwn;
    shown.push_back(mine || room > 0);
    if (!mine && room > 0) --room;
  }
  return shown;
}

}  // namespace

std::string python_lines(const std::vector<PythonFrame>& stack, std::size_t indent,
                         const TextOptions& options) {
  constexpr std::size_t kMost = 10;
  const bool all = options.everything || stack.size() <= kMost + 1;  // never "1 more"
  const std::vector<bool> shown = shown_frames(stack, all ? stack.size() : kMost);
  std::string lines;
  std::size_t standard = 0, installed = 0;
  for (std::size_t i = 0; i < stack.size(); ++i) {
    const PythonFrame& frame = stack[i];
    if (!shown[i]) {
      (python_origin(frame.file) == Origin::kStandard ? standard : installed) += 1;
    } else {
      std::size_t again = 0;  // recursion
      while (i + again + 1 < stack.size() && same_place(frame, stack[i + again + 1])) ++again;
      std::string line = fmt::format("py{:<2} {}  {}", i, frame.function,
                                     options.verbose ? frame.file : base_name(frame.file));
      if (frame.line > 0) line += fmt::format(":{}", frame.line);
      if (again > 1) {
        line += fmt::format("  [{} times]", again + 1);
        i += again;
      }
      lines += wrapped(line, indent, options.width);
    }
    const bool ends = i + 1 == stack.size() || shown[i + 1];
    if (standard + installed > 0 && ends) {
      lines += wrapped(folded_words(standard, installed), indent + kFrameNumberWidth, options.width);
      standard = installed = 0;
    }
  }
  return lines;
}

std::string styled(std::string_view text, Style style, const TextOptions& options) {
  if (!options.colour) return std::string(text);
  const char* code = "1";  // bold
  switch (style) {
    case Style::kAlarm:
      code = "1;31";
      break;
    case Style::kWarning:
      code = "33";
      break;
    case Style::kLabel:
      break;
    case Style::kGood:
      code = "32";
      break;
  }
  return fmt::format("\x1b[{}m{}\x1b[0m", code, text);
}

}  // namespace forkscope
