#include "detector/report/layout.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMinNameWidth = 24;
constexpr std::size_t kFrameNumberWidth = 4;  // "#0  "

/// Length of the UTF-8 sequence at the front, 0 when it is none or encodes a control character.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  std::size_t length = 0;
  if (byte(0) >= 0xc2 && byte(0) <= 0xdf) length = 2;
  if (byte(0) >= 0xe0 && byte(0) <= 0xef) length = 3;
  if (byte(0) >= 0xf0 && byte(0) <= 0xf4) length = 4;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 0;  // C1 controls, which some terminals obey
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  return length;
}

/// Columns, counting each character as one.
std::size_t columns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (c & 0xc0) != 0x80; }));
}

/// Keeps the front; cuts between characters.
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

}  // namespace

std::string printable(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      clean += '?';
      text.remove_prefix(1);
    } else {
      clean += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return clean;
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

/// Inside a standard library template or function: how a container or lock works, not where.
bool library_internal(const Frame& frame) {
  // /usr/include/c++/12, and /usr/include/x86_64-linux-gnu/c++/12 for what depends on the machine
  if (frame.file.find("/include/") != std::string::npos &&
      frame.file.find("/c++/") != std::string::npos) {
    return true;
  }
  return frame.file.empty() && is_cxx_runtime(frame.module);
}

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
    if (!library_internal(stack[i]) && !before_main(stack[i])) chosen.push_back(i);
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
