// What `forkscope scan` found, as a table like ps(1)'s.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "detector/report/layout.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// As ps(1) shows elapsed time: [[DD-]HH:]MM:SS.
std::string age_words(double seconds) {
  const auto whole = static_cast<std::uint64_t>(seconds);
  const std::uint64_t days = whole / 86400, hours = whole / 3600 % 24, minutes = whole / 60 % 60;
  std::string text = fmt::format("{:02}:{:02}", minutes, whole % 60);
  if (hours > 0 || days > 0) text = fmt::format("{:02}:{}", hours, text);
  return days > 0 ? fmt::format("{}-{}", days, text) : text;
}

std::string holder_words(const Finding& finding) {
  if (finding.holder.tid != 0) return thread_words(finding.holder.tid, finding.holder.name);
  if (finding.lost.empty()) return "-";
  const ThreadReport& thread = finding.lost.front();
  std::string text = thread_words(thread.tid, thread.name);
  if (const std::size_t others = finding.lost.size() - 1; others > 0)
    text += fmt::format(" or {} other{}", others, others == 1 ? "" : "s");
  return text;
}

std::string command_words(const Diagnosis& diagnosis) {
  std::string text;
  for (const std::string& word : diagnosis.command) text += (text.empty() ? "" : " ") + word;
  constexpr std::size_t kMost = 160;  // an argument may be 128 KiB long
  if (text.size() > kMost) text = text.substr(0, kMost) + "...";
  return printable(text.empty() ? diagnosis.program : text);
}

struct Row {
  std::string cells[6];
  Answer answer = Answer::kUnknown;
};

Row row_of(const Diagnosis& diagnosis) {
  const Finding& finding = *diagnosis.finding;
  return {{std::to_string(diagnosis.pid), age_words(diagnosis.age_seconds),
           diagnosis.answer == Answer::kDeadlock ? "deadlock" : "probable",
           printable(lock_words(finding.lock)), printable(holder_words(finding)),
           command_words(diagnosis)},
          diagnosis.answer};
}

constexpr std::size_t kCells = 6;
using Widths = std::array<std::size_t, kCells>;

Widths widths_of(const std::vector<Row>& rows) {
  Widths widths{};
  for (const Row& row : rows)
    for (std::size_t i = 0; i < kCells; ++i) widths[i] = std::max(widths[i], columns(row.cells[i]));
  return widths;
}

/// Takes from what is long until a line fits: the command first, then what is waited for, and of
/// whom. PIDs, times and verdicts are never cut.
void fit(Widths& widths, std::size_t room) {
  constexpr std::pair<std::size_t, std::size_t> kLeast[] = {{5, 16}, {3, 18}, {4, 12}};
  std::size_t used = kCells - 1;  // gaps
  for (const std::size_t width : widths) used += width;
  for (const auto& [cell, least] : kLeast) {
    if (used <= room || widths[cell] <= least) continue;
    const std::size_t cut = std::min(used - room, widths[cell] - least);
    widths[cell] -= cut;
    used -= cut;
  }
}

std::string padded(const std::string& text, std::size_t width) {
  const std::string cell = shortened(text, width);
  return cell + std::string(width - std::min(width, columns(cell)), ' ');
}

std::string line_of(const Row& row, const Widths& widths, const TextOptions& options) {
  std::string text = fmt::format("{:>{}} {:>{}} ", row.cells[0], widths[0], row.cells[1], widths[1]);
  const std::string verdict = padded(row.cells[2], widths[2]);
  text += row.answer == Answer::kDeadlock   ? styled(verdict, Style::kAlarm, options)
          : row.answer == Answer::kProbable ? styled(verdict, Style::kWarning, options)
                                            : verdict;
  return text + fmt::format(" {} {} {}\n", padded(row.cells[3], widths[3]),
                            padded(row.cells[4], widths[4]), shortened(row.cells[5], widths[5]));
}

}  // namespace

std::string scan_text(const ScanResult& result, const TextOptions& options) {
  std::string text;
  if (options.verbose) {
    TextOptions each = options;
    each.verbose = options.everything;  // the table is brief, and this is the next step
    for (const Diagnosis& diagnosis : result.found) text += diagnosis_text(diagnosis, each);
    return text;
  }
  if (result.found.empty()) return text;
  std::vector<Row> rows{{{"PID", "ELAPSED", "VERDICT", "WAITS FOR", "OF", "COMMAND"}}};
  for (const Diagnosis& diagnosis : result.found) rows.push_back(row_of(diagnosis));
  Widths widths = widths_of(rows);
  if (options.bounded) fit(widths, static_cast<std::size_t>(options.width));
  for (const Row& row : rows) text += line_of(row, widths, options);
  return text;
}

}  // namespace forkscope
