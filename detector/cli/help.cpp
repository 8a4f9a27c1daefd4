#include "detector/cli/help.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <memory>

#include "detector/cli/duration.hpp"

namespace forkscope::cli {
namespace {

constexpr std::size_t kOptionColumn = 28;
constexpr std::size_t kHelpWidth = 100;

/// Lines of at most `width`, broken at blanks.
std::string wrapped(const std::string& text, std::size_t width) {
  std::string result;
  std::size_t column = 0, begin = 0;
  while (begin < text.size()) {
    std::size_t end = std::min(text.find(' ', begin), text.size());
    std::size_t length = end - begin;
    if (column > 0) {
      bool breaks = column + 1 + length > width;
      result += breaks ? '\n' : ' ';
      column = breaks ? 0 : column + 1;
    }
    result.append(text, begin, length);
    column += length;
    begin = end + 1;
  }
  return result;
}

/// CLI11 cannot know that a command with arguments of its own ends the options, and does not break
/// long lines.
class UsageFormatter : public CLI::Formatter {
 public:
  explicit UsageFormatter(std::string usage) : usage_(std::move(usage)) {}
  std::string make_usage(const CLI::App*, std::string) const override {
    return "Usage: " + usage_ + "\n";
  }
  std::string make_option_desc(const CLI::Option* option) const override {
    return wrapped(option->get_description(), kHelpWidth - kOptionColumn);
  }

 private:
  std::string usage_;
};

}  // namespace

void use_help(CLI::App& command, const std::string& usage, const std::string& footer) {
  auto formatter = std::make_shared<UsageFormatter>(usage);
  formatter->column_width(kOptionColumn);
  command.formatter(formatter);
  command.footer(footer);
}

void add_colour_option(CLI::App& command, Colour& colour) {
  command
      .add_option_function<std::string>(
          "--colour,--color",
          [&colour](const std::string& when) {
            if (when == "auto") {
              colour = Colour::kAuto;
            } else if (when == "always") {
              colour = Colour::kAlways;
            } else if (when == "never") {
              colour = Colour::kNever;
            } else {
              throw CLI::ValidationError("--colour", "'" + when + "' is not auto, always or never");
            }
          },
          "auto (on a terminal, unless NO_COLOR is set), always or never")
      ->type_name("WHEN");
}

void add_timeout_option(CLI::App& command, std::optional<std::chrono::nanoseconds>& timeout,
                        const std::string& description) {
  command
      .add_option_function<std::string>(
          "--timeout",
          [&timeout](const std::string& text) {
            timeout = parse_duration(text);
            if (!timeout)
              throw CLI::ValidationError(
                  "--timeout",
                  fmt::format("'{}' is no duration; give 10, 1.5s, 500ms, 2m or 1h", text));
          },
          description)
      ->type_name("T");
}

}  // namespace forkscope::cli
