#include "scenarios/runner/markdown.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "scenarios/runner/table.hpp"

namespace forkscope::scenario {
namespace {

std::string methods_table(const Description& description) {
  std::string text = markdown_head({"method", "end", "`forkscope run`", "`forkscope attach`", ""});
  for (const Method& method : description.methods) {
    std::string found =
        method.silent ? "silent" : findings_text({method.findings.begin(), method.findings.end()});
    for (const std::string& option : method.run_options) found += " (`" + option + "`)";
    const std::string other =
        method.timing_of.empty() ? "" : " (another timing of `" + method.timing_of + "`)";
    text += markdown_row({"`" + method.name + "`", end_text(method), found,
                          answer_text(method.outside), method.note + other});
  }
  return text;
}

/// The column of a way; kShim and kLucky exclude each other and share one.
std::size_t column_of(How how) {
  switch (how) {
    case How::kBare:
      return 2;
    case How::kShim:
    case How::kLucky:
      return 3;
    case How::kAttached:
      return 4;
  }
  return 0;
}

}  // namespace

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string row = "|";
  for (const std::string& cell : cells) {
    row += " ";
    for (const char each : cell) row += each == '|' ? std::string("\\|") : std::string(1, each);
    row += " |";
  }
  return row + "\n";
}

std::string markdown_head(const std::vector<std::string>& names) {
  std::string rule = "|";
  for (std::size_t i = 0; i < names.size(); ++i) rule += "---|";
  return markdown_row(names) + rule + "\n";
}

std::string catalogue_markdown(const std::vector<Entry>& catalogue) {
  std::string text;
  for (const Entry& entry : catalogue) {
    const Description& description = entry.description;
    text += fmt::format(
        "### {}\n{}. [{}](../{})\n\n**Cause.** {}\n\n**Mechanism.** {}\n\n**Cure.** {}\n\n{}\n",
        description.name, description.title, description.source, description.source,
        description.cause, description.mechanism, description.cure, methods_table(description));
  }
  return text;
}

std::string cases_markdown(const std::vector<Case>& cases) {
  std::vector<std::vector<std::string>> rows;
  for (const Case& each : cases) {
    const std::string method = "`" + each.promised.name + "`";
    if (rows.empty() || rows.back()[0] != each.scenario || rows.back()[1] != method)
      rows.push_back({each.scenario, method, "", "", ""});
    std::string seen = tally_text(each);
    if (!each.skipped() && !each.agrees())
      seen = fmt::format("**{}**, expected {}", seen, promise_text(each.promised, each.how));
    rows.back()[column_of(each.how)] = seen;
  }
  std::string text =
      markdown_head({"scenario", "method", "alone", "`forkscope run`", "`forkscope attach`"});
  for (const auto& row : rows) text += markdown_row(row);
  const auto agreeing =
      std::count_if(cases.begin(), cases.end(), [](const Case& each) { return each.agrees(); });
  const auto skipped =
      std::count_if(cases.begin(), cases.end(), [](const Case& each) { return each.skipped(); });
  const std::size_t runs = cases.empty() ? 0 : cases.front().outcomes.size();
  return text + fmt::format("\n{} of {} as expected, {} skipped, {} run{} of each.\n",
                            agreeing - skipped, cases.size(), skipped, runs, runs == 1 ? "" : "s");
}

}  // namespace forkscope::scenario
