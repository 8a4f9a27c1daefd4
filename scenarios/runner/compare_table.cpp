#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "scenarios/runner/compare.hpp"
#include "scenarios/runner/markdown.hpp"
#include "scenarios/runner/table.hpp"

namespace forkscope::scenario {
namespace {

/// What the runs under one detector came to; the end too, where it is not as it should be.
std::string cell_text(const std::vector<Said>& runs, const Method& promised) {
  std::map<std::string, std::size_t> tally;
  for (const Said& said : runs) {
    const bool other_end = said.end != end_text(promised) && said.end != "skipped";
    ++tally[said.end == "skipped" ? said.end
                                  : said_text(said) + (other_end ? " (" + said.end + ")" : "")];
  }
  std::string text;
  for (const auto& [what, count] : tally) {
    if (!text.empty()) text += "; ";
    text += tally.size() == 1 ? what : fmt::format("{} {}/{}", what, count, runs.size());
  }
  return text;
}

std::vector<std::string> head_of(const std::vector<Detector>& detectors) {
  std::vector<std::string> head = {"scenario", "method", "end", "forkscope"};
  for (const Detector& detector : detectors) head.push_back(detector.name);
  return head;
}

/// Without its end, which has a column of its own.
std::string found_text(const Case& ours) {
  const std::string text = tally_text(ours), end = end_text(ours.promised) + ": ";
  return text.starts_with(end) ? text.substr(end.size()) : text;
}

std::vector<std::string> row_of(const Compared& each) {
  const Case& ours = each.forkscope;
  std::vector<std::string> row = {ours.scenario, ours.promised.name, end_text(ours.promised),
                                  found_text(ours)};
  for (const auto& runs : each.others) row.push_back(cell_text(runs, ours.promised));
  return row;
}

/// How many methods each said anything of: of those that fail, and of those that are correct.
struct Score {
  std::size_t failing = 0, told = 0, correct = 0, noisy = 0;
};

Score score_of(const std::vector<Compared>& all, std::size_t detector) {
  Score score;
  for (const Compared& each : all) {
    const auto& runs = each.others[detector];
    std::size_t told = 0, skipped = 0;
    for (const Said& said : runs) {
      told += said.errors.value_or(0) > 0;
      skipped += said.end == "skipped";
    }
    if (skipped > 0) continue;
    if (each.forkscope.promised.end != End::kCompletes) {
      ++score.failing;
      score.told += told > 0;
    } else if (each.forkscope.promised.silent) {
      ++score.correct;
      score.noisy += told > 0;
    }
  }
  return score;
}

Score own_score(const std::vector<Compared>& all) {
  Score score;
  for (const Compared& each : all) {
    const Case& ours = each.forkscope;
    std::size_t told = 0;
    for (const Outcome& outcome : ours.outcomes) told += !judged(outcome, ours.promised).empty();
    if (ours.skipped()) continue;
    if (ours.promised.end != End::kCompletes) {
      ++score.failing;
      score.told += told > 0;
    } else if (ours.promised.silent) {
      ++score.correct;
      score.noisy += told > 0;
    }
  }
  return score;
}

std::string score_text(const std::string& name, const Score& score) {
  return fmt::format(
      "{}: says something of {} of {} methods that hang or die, and of {} of {} correct ones\n",
      name, score.told, score.failing, score.noisy, score.correct);
}

std::vector<std::string> scores(const std::vector<Compared>& all,
                                const std::vector<Detector>& detectors) {
  std::vector<std::string> lines = {score_text("forkscope", own_score(all))};
  for (std::size_t i = 0; i < detectors.size(); ++i)
    lines.push_back(score_text(detectors[i].name, score_of(all, i)));
  return lines;
}

}  // namespace

std::string comparison_text(const std::vector<Compared>& all,
                            const std::vector<Detector>& detectors) {
  std::vector<std::vector<std::string>> rows = {head_of(detectors)};
  for (const Compared& each : all) rows.push_back(row_of(each));
  std::string text = aligned(rows);
  for (const std::string& line : scores(all, detectors)) text += line;
  return text;
}

std::string comparison_markdown(const std::vector<Compared>& all,
                                const std::vector<Detector>& detectors) {
  std::string text;
  for (const std::string& line : scores(all, detectors)) text += "- " + line;
  text += "\n" + markdown_head(head_of(detectors));
  for (const Compared& each : all) text += markdown_row(row_of(each));
  return text;
}

std::string comparison_json(const std::vector<Compared>& all,
                            const std::vector<Detector>& detectors) {
  using nlohmann::ordered_json;
  ordered_json list = ordered_json::array();
  for (const Compared& each : all) {
    ordered_json others = ordered_json::object();
    for (std::size_t i = 0; i < detectors.size(); ++i) {
      ordered_json runs = ordered_json::array();
      for (const Said& said : each.others[i])
        runs.push_back({{"end", said.end},
                        {"wait_status", said.status},
                        {"errors", said.errors ? ordered_json(*said.errors) : ordered_json()},
                        {"kinds", said.kinds}});
      others[detectors[i].name] = std::move(runs);
    }
    list.push_back({{"scenario", each.forkscope.scenario},
                    {"method", each.forkscope.promised.name},
                    {"promised", promise_text(each.forkscope.promised, each.forkscope.how)},
                    {"forkscope", tally_text(each.forkscope)},
                    {"agrees", each.forkscope.agrees()},
                    {"others", std::move(others)}});
  }
  ordered_json commands = ordered_json::object();
  for (const Detector& detector : detectors) commands[detector.name] = detector.command;
  return ordered_json{
             {"schema", "forkscope.comparison/1"}, {"detectors", commands}, {"cases", list}}
             .dump(2) +
         "\n";
}

}  // namespace forkscope::scenario
