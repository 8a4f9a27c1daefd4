#include "scenarios/runner/show.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <utility>

#include "scenarios/runner/outcome.hpp"
#include "scenarios/runner/table.hpp"

namespace forkscope::scenario {
namespace {

constexpr std::size_t kTextWidth = 96;
constexpr std::size_t kListWidth = 80;

/// The text in lines of at most `width`.
std::vector<std::string> lines_of(const std::string& text, std::size_t width) {
  std::vector<std::string> lines(1);
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!lines.back().empty() && lines.back().size() + 1 + word.size() > width)
      lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : " ") + word;
  }
  return lines;
}

/// The text in lines of at most kTextWidth, each indented.
std::string wrapped(const std::string& text) {
  std::string result;
  for (const std::string& line : lines_of(text, kTextWidth)) result += "  " + line + "\n";
  return result;
}

}  // namespace

std::string list_text(const std::vector<Entry>& catalogue) {
  // The methods below the title: beside it, the longest list would set the width of all.
  std::vector<std::vector<std::string>> rows = {{"scenario", "what happens, and the methods"}};
  std::size_t names = 0;
  for (const Entry& entry : catalogue) names = std::max(names, entry.description.name.size());
  const std::size_t beside = kListWidth - std::min<std::size_t>(names + 2, kListWidth / 2);
  for (const Entry& entry : catalogue) {
    std::string methods;
    for (const Method& method : entry.description.methods)
      methods += (methods.empty() ? "" : ", ") + method.name;
    std::string name = entry.description.name;  // beside the first line
    for (const std::string& line : lines_of(entry.description.title, beside))
      rows.push_back({std::exchange(name, ""), line});
    for (const std::string& line : lines_of(methods, beside - 2)) rows.push_back({"", "  " + line});
  }
  return aligned(rows);
}

std::string show_text(const Entry& entry) {
  const Description& description = entry.description;
  std::vector<std::vector<std::string>> rows = {
      {"", "method", "end", "forkscope run", "forkscope attach", ""}};
  for (const Method& method : description.methods)
    rows.push_back({"", method.name, end_text(method),
                    method.silent ? "silent"
                    : method.findings.empty()
                        ? "no deadlock"
                        : findings_text({method.findings.begin(), method.findings.end()}),
                    method.outside.answer.empty() ? "-" : answer_text(method.outside),
                    method.note});
  std::string options = "run ";
  for (const std::string& option : description.methods.front().run_options) options += option + " ";
  return fmt::format(
      "{}: {}\n\nCause\n{}\nMechanism\n{}\nCure\n{}\nMethods\n{}\n"
      "Source: {}\nProgram: {}\nTry it: forkscope {}-- {}\n",
      description.name, description.title, wrapped(description.cause),
      wrapped(description.mechanism), wrapped(description.cure), aligned(rows),
      entry.source.string(), entry.program.string(), options, entry.program.string());
}

std::string source_text(const Entry& entry) {
  std::ifstream file(entry.source);
  if (!file)
    throw std::runtime_error(
        fmt::format("cannot read the source {}: {}", entry.source.string(), std::strerror(errno)));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

}  // namespace forkscope::scenario
