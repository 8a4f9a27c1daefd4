#include "scenarios/runner/show.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>

#include "scenarios/runner/outcome.hpp"
#include "scenarios/runner/table.hpp"

namespace forkscope::scenario {
namespace {

constexpr std::size_t kTextWidth = 96;

/// The text in lines of at most kTextWidth, each indented.
std::string wrapped(const std::string& text) {
  std::string result, line;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!line.empty() && line.size() + 1 + word.size() > kTextWidth) {
      result += "  " + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + "  " + line + "\n";
}

}  // namespace

std::string list_text(const std::vector<Entry>& catalogue) {
  // The methods below the title: beside it, the longest list would set the width of all.
  std::vector<std::vector<std::string>> rows = {{"scenario", "what happens, and the methods"}};
  for (const Entry& entry : catalogue) {
    std::string methods;
    for (const Method& method : entry.description.methods)
      methods += (methods.empty() ? "" : ", ") + method.name;
    rows.push_back({entry.description.name, entry.description.title});
    rows.push_back({"", "  " + methods});
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
