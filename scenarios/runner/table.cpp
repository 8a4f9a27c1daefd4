#include "scenarios/runner/table.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

namespace forkscope::scenario {
namespace {

std::optional<double> median_of(const Case& runs, std::vector<double> Outcome::*values) {
  std::vector<double> all;
  for (const Outcome& outcome : runs.outcomes)
    all.insert(all.end(), (outcome.*values).begin(), (outcome.*values).end());
  return median(std::move(all));
}

std::string milliseconds_text(std::optional<double> value) {
  return value ? fmt::format("{:.2f}", *value) : "-";
}

nlohmann::ordered_json json_of(std::optional<double> value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json();
}

nlohmann::ordered_json json_of(const Outcome& outcome, const Method& promised, How how) {
  nlohmann::ordered_json run = {
      {"end", outcome.end}, {"ready_ms", outcome.ready_ms}, {"done_ms", outcome.done_ms}};
  if (outcome.found) {
    run["findings"] = nlohmann::ordered_json::array();
    for (const auto& [finding, count] : *outcome.found)
      run["findings"].push_back(
          {{"kind", finding.kind}, {"severity", finding.severity}, {"count", count}});
  }
  if (outcome.attached)
    run["attached"] = {{"answer", outcome.attached->answer}, {"kind", outcome.attached->kind}};
  run["seconds"] = outcome.seconds;
  run["difference"] = difference(outcome, promised, how);
  return run;
}

}  // namespace

std::string tally_text(const Case& runs) {
  std::map<std::string, std::size_t> tally;
  for (const Outcome& outcome : runs.outcomes) ++tally[seen_text(outcome, runs.promised)];
  std::string text;
  for (const auto& [what, count] : tally) {
    if (!text.empty()) text += "; ";
    text += tally.size() == 1 ? what : fmt::format("{} {}/{}", what, count, runs.outcomes.size());
  }
  return text.empty() ? "-" : text;
}

std::string aligned(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i)
      line += i + 1 == row.size() ? row[i] : fmt::format("{:<{}}  ", row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::string verdict_text(const Case& runs) {
  return runs.skipped() ? "skipped" : runs.agrees() ? "ok" : "DIFFERS";
}

std::string cases_text(const std::vector<Case>& cases) {
  std::vector<std::vector<std::string>> rows = {
      {"scenario", "method", "how", "expected", "seen", "ready (ms)", "done (ms)", "verdict"}};
  std::string differences;
  for (const Case& each : cases) {
    rows.push_back({each.scenario, each.promised.name, how_text(each.how),
                    promise_text(each.promised, each.how), tally_text(each),
                    milliseconds_text(median_of(each, &Outcome::ready_ms)),
                    milliseconds_text(median_of(each, &Outcome::done_ms)), verdict_text(each)});
    for (std::size_t i = 0; i < each.outcomes.size(); ++i)
      if (const std::string what = difference(each.outcomes[i], each.promised, each.how);
          !what.empty())
        differences += fmt::format("{} {} {}, run {}: {}\n", each.scenario, each.promised.name,
                                   how_text(each.how), i + 1, what);
  }
  return aligned(rows) + differences;
}

std::string cases_json(const std::vector<Case>& cases) {
  using nlohmann::ordered_json;
  ordered_json list = ordered_json::array();
  for (const Case& each : cases) {
    ordered_json promised = ordered_json::array(), runs = ordered_json::array();
    for (const ExpectedFinding& finding : each.promised.findings)
      promised.push_back({{"kind", finding.kind}, {"severity", finding.severity}});
    for (const Outcome& outcome : each.outcomes)
      runs.push_back(json_of(outcome, each.promised, each.how));
    list.push_back({{"scenario", each.scenario},
                    {"method", each.promised.name},
                    {"how", how_text(each.how)},
                    {"promised",
                     {{"end", end_text(each.promised)},
                      {"findings", promised},
                      {"silent", each.promised.silent},
                      {"attached", answer_text(each.promised.outside)}}},
                    {"skipped", each.skipped()},
                    {"agrees", each.agrees()},
                    {"ready_ms_median", json_of(median_of(each, &Outcome::ready_ms))},
                    {"done_ms_median", json_of(median_of(each, &Outcome::done_ms))},
                    {"runs", runs}});
  }
  return ordered_json{{"schema", "forkscope.scenarios/1"}, {"cases", list}}.dump(2) + "\n";
}

}  // namespace forkscope::scenario
