#include "detector/cli/inject_options.hpp"

#include <fmt/format.h>
#include <sys/random.h>

#include <CLI/CLI.hpp>
#include <cstring>
#include <memory>

#include "detector/cli/environment.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kVariable = "FORKSCOPE_OPTIONS=";

/// Of five digits: typed by people, and enough to differ from run to run.
std::uint64_t any_seed() {
  std::uint32_t number = 1;
  if (getrandom(&number, sizeof number, 0) != sizeof number) number = 1;
  return number % 90'000 + 10'000;
}

void add(InjectOptions& options, const std::string& spec) {
  if (spec == "help") {
    options.help = true;
    return;
  }
  auto injection = std::make_unique<Injection>();
  InjectError error;
  if (!parse_injection(spec.c_str(), *injection, error))
    throw CLI::ValidationError("--inject", fmt::format("in '{}' {}", spec, error.message));
  if (options.specs.size() == kMaxInjections)
    throw CLI::ValidationError("--inject", fmt::format("there are more than {}", kMaxInjections));
  options.specs.push_back(spec);
}

std::string key_words(const InjectActionFacts& facts) {
  std::string words;
  const InjectKeyTable keys = inject_key_table();
  for (std::size_t i = 0; i < keys.count; ++i) {
    const InjectKeyFacts& key = keys.first[i];
    if ((facts.keys & key.key) == 0) continue;
    const bool required = (facts.required & key.key) != 0;
    words +=
        fmt::format("{},{}={}{}", required ? "" : "[", key.name, key.value, required ? "" : "]");
  }
  return words;
}

const char* value_words(InjectValue value) {
  switch (value) {
    case InjectValue::kNone:
      return "";
    case InjectValue::kErrno:
      return "=ERRNO";
    case InjectValue::kTime:
      return "=T";
    case InjectValue::kOptionalTime:
      return "[=T]";
  }
  return "";
}

std::string errno_words(const char* point) {
  std::string words;
  const InjectErrnoTable table = inject_errno_table();
  for (std::size_t i = 0; i < table.count; ++i)
    if (std::strcmp(table.first[i].point, point) == 0)
      words += (words.empty() ? "" : " ") + std::string(table.first[i].name);
  return words;
}

/// In lines of at most 96 columns, each after `indent`.
std::string lines_of(const std::string& text, std::size_t indent) {
  constexpr std::size_t kWidth = 96;
  std::string lines, line;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(' ', begin), text.size());
    const std::string word = text.substr(begin, end - begin);
    begin = end + 1;
    if (!line.empty() && indent + line.size() + 1 + word.size() > kWidth) {
      lines += std::string(indent, ' ') + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return lines + std::string(indent, ' ') + line + "\n";
}

}  // namespace

void add_inject_options(CLI::App& command, InjectOptions& options) {
  command
      .add_option_function<std::vector<std::string>>(
          "--inject",
          [&options](const std::vector<std::string>& specs) {
            for (const std::string& spec : specs) add(options, spec);
          },
          "Make this happen, as in fork:while-held,lock=GLOB or fork:fail=EAGAIN,nth=3; may be "
          "given several times; `--inject help` lists what there is")
      ->type_name("SPEC")
      ->type_size(1)
      ->expected(1)
      ->multi_option_policy(CLI::MultiOptionPolicy::TakeAll);
  command
      .add_option_function<std::string>(
          "--seed",
          [&options](const std::string& text) {
            std::uint64_t seed = 0;
            if (!parse_seed(text.c_str(), seed))
              throw CLI::ValidationError(
                  "--seed", fmt::format("'{}' is no seed; give a whole number, as a report with "
                                        "--inject prints it",
                                        text));
            options.seed = seed;
          },
          "Decide again as in the run that printed this number")
      ->type_name("N");
}

std::string inject_help() {
  std::string text =
      "forkscope run --inject SPEC -- COMMAND, with SPEC = point:action[=value][,key=value...]\n\n";
  for (std::size_t i = 0; i < inject_action_count(); ++i) {
    const InjectActionFacts& facts = facts_of(InjectAction(i));
    text += fmt::format("{}:{}{}{}\n", facts.point, facts.action, value_words(facts.value),
                        key_words(facts));
    text += lines_of(facts.help, 4);
    if (facts.value == InjectValue::kErrno)
      text += lines_of("ERRNO: " + errno_words(facts.point), 4);
    text += fmt::format("    --inject {}\n", facts.example);
  }
  text += "\nKeys\n";
  const InjectKeyTable keys = inject_key_table();
  for (std::size_t i = 0; i < keys.count; ++i) {
    text += fmt::format("{}={}\n", keys.first[i].name, keys.first[i].value);
    text += lines_of(keys.first[i].help, 4);
  }
  text += lines_of(
      "T is a number of seconds, or one with the unit us, ms, s, m or h. In a GLOB * stands for "
      "any characters and ? for one; a comma or backslash in a value is written \\, and \\\\.",
      0);
  text += "\nResults\n";
  for (std::size_t i = 0; i < inject_result_count(); ++i) {
    const InjectResultFacts& facts = facts_of(InjectResult(i));
    text += fmt::format("{}\n", facts.word) + lines_of(facts.help, 4);
  }
  return text;
}

std::string inject_settings(const InjectOptions& options) {
  std::string settings;
  for (const std::string& spec : options.specs) settings += ":inject=" + escape_option(spec);
  if (options.seed)
    settings += fmt::format(":seed={}", *options.seed);
  else if (!options.specs.empty())
    settings += fmt::format(":seed={}", any_seed());
  return settings;
}

AskedFor injections_in(const std::vector<std::string>& environment) {
  AskedFor asked;
  for (const std::string& entry : environment) {
    if (!entry.starts_with(kVariable)) continue;
    auto options = std::make_unique<Options>();
    auto error = std::make_unique<OptionError>();
    if (!parse_options(entry.c_str() + std::strlen(kVariable), *options, *error)) continue;
    for (std::size_t i = 0; i < options->injections; ++i)
      asked.specs.push_back(options->inject[i].text);
    if (!asked.specs.empty()) asked.seed = options->seed;
  }
  return asked;
}

}  // namespace forkscope::cli
