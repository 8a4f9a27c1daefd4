#include "bench/cost/report/text.hpp"

#include <algorithm>
#include <map>

#include "bench/cost/report/analysis.hpp"
#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

std::string setting(const Result& result, const std::string& name) {
  for (const auto& [key, value] : result.machine)
    if (key == name) return value;
  return "";
}

std::string cell(const CaseResult& one, const char* clock) {
  const Summary* summary = find_clock(one, clock);
  return right_aligned(summary == nullptr ? "-" : time_text(summary->median), 10);
}

std::string cases_text(const Result& result) {
  std::string text = left_aligned("case (medians)", 44) + right_aligned("call", 10) +
                     right_aligned("first", 10) + right_aligned("main()", 10) +
                     right_aligned("ready", 10) + right_aligned("reaped", 10) + "\n";
  std::string others;
  for (const CaseResult& one : result.cases) {
    if (one.spec.control != 0) continue;
    const std::string name = name_of(one.spec);
    if (find_clock(one, "reap") != nullptr && find_clock(one, "child_write") == nullptr) {
      text += left_aligned(name, 44);
      for (const char* clock : {"call", "first", "main", "ready", "reap"}) text += cell(one, clock);
      if (const Summary* stall = find_clock(one, "stall"))
        text += "  stall of another thread " + time_text(stall->median);
      text += "\n";
      continue;
    }
    others += left_aligned(name, 54);
    for (const auto& [clock, summary] : one.clocks)
      if (clock != "call" && clock != "reap")
        others +=
            "  " + clock + " " +
            (clock.ends_with("faults") ? number_text(summary.median) : time_text(summary.median));
    others += "\n";
  }
  return text + (others.empty() ? "" : "\n" + others);
}

std::string derived_text(const Result& result) {
  std::string text;
  if (const auto all = slopes(result); !all.empty()) {
    text += "\na GiB of parent costs\n";
    for (const Slope& one : all)
      text += "  " + left_aligned(one.series, 28) + left_aligned(clock_words(one.clock), 40) +
              right_aligned(number_text(one.line.slope * 1e-6), 8) + " +- " +
              number_text(one.line.slope_error * 1e-6) + " ms/GiB\n";
  }
  if (const auto all = crossings(result); !all.empty()) {
    text += "\nwhere they cross\n";
    for (const Crossing& one : all)
      text += "  " + left_aligned(one.a + " and " + one.b, 36) +
              left_aligned(clock_words(one.clock), 40) +
              (one.at ? "at " + bytes_text(*one.at)
                      : std::string("nowhere from ") + bytes_text(one.from) + " to " +
                            bytes_text(one.to)) +
              "\n";
  }
  for (const bool python : {false, true}) {
    const auto rows = pools(result, python);
    if (rows.empty()) continue;
    text += python ? "\npools, Python's methods\n" : "\npools, a new process for each task\n";
    for (const PoolRow& row : rows)
      text += "  " + left_aligned(row.method + (row.reuse ? ", started once" : ""), 36) +
              "a task costs " + right_aligned(time_text(row.cost), 9) +
              (row.within10 ? "; within 10 % of the cheapest from " + time_text(*row.within10) +
                                  " tasks on, within 1 % from " + time_text(*row.within1)
                            : std::string("; the cheapest")) +
              "\n";
  }
  if (const auto all = decisions(result); !all.empty()) {
    text += "\nwhat to use\n";
    for (const Decision& one : all)
      text += "  " + left_aligned(one.parent, 20) + left_aligned(one.purpose, 36) + one.use + "\n";
  }
  return text;
}

std::string price_text(const Price& price) {
  std::string text;
  const auto add = [&](const char* title, const std::vector<PriceRow>& rows) {
    if (rows.empty()) return;
    text += std::string("\n") + title + "\n";
    for (const PriceRow& row : rows) {
      const auto value = [&](double v) { return row.unit == "ns" ? time_text(v) : bytes_text(v); };
      text += "  " + left_aligned(row.title, 50) + right_aligned(value(row.bare), 10) +
              right_aligned(value(row.with), 10) +
              right_aligned("x " + number_text(row.ratio), 10) + "\n";
    }
  };
  add("what forkscope costs: bare, with it", price.rows);
  add("lock pair under other tools", price.tools);
  add("whole programs by `forkscope run`", price.programs);
  for (const std::string& remark : price.remarks) text += "  " + remark + "\n";
  return text;
}

}  // namespace

std::string result_text(const Result& result) {
  std::string text = setting(result, "processor") + ", " + setting(result, "processors usable") +
                     " processors; " + setting(result, "kernel") + ", " + setting(result, "libc") +
                     "; load " + number_text(result.load_before) + " before, " +
                     number_text(result.load_after) + " after; " + std::to_string(result.rounds) +
                     (result.rounds == 1 ? " round in " : " rounds in ") +
                     number_text(result.seconds) + " s\n\n";
  if (!result.cases.empty()) text += cases_text(result) + derived_text(result);
  if (result.price) text += price_text(*result.price);
  const auto all = controls(result);
  if (!all.empty()) {
    text +=
        "\nnoise: the same case twice differs by up to " + change_text(1 + noise(result)) + " (";
    text += std::to_string(all.size()) + " A/A controls, medians of paired rounds)\n";
  }
  std::map<std::string, std::vector<std::string>> skipped;
  for (const Skipped& one : result.skipped) skipped[one.why].push_back(one.name);
  if (!skipped.empty()) text += "\nnot measured\n";
  for (const auto& [why, names] : skipped)
    text += "  " + names.front() +
            (names.size() > 1 ? " and " + std::to_string(names.size() - 1) + " more" : "") + ": " +
            why + "\n";
  for (const std::string& remark : result.remarks) text += remark + "\n";
  return text;
}

}  // namespace forkscope::cost
