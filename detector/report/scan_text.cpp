// What `forkscope scan` found, as a table like ps(1)'s.
#include <fmt/format.h>

#include <algorithm>

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

}  // namespace

std::string scan_text(const ScanResult& result, const TextOptions& options) {
  std::string text;
  if (options.verbose) {
    for (const Diagnosis& diagnosis : result.found) text += diagnosis_text(diagnosis, options);
    return text;
  }
  if (result.found.empty()) return text;
  std::vector<Row> rows{{{"PID", "ELAPSED", "VERDICT", "WAITS FOR", "OF", "COMMAND"}}};
  for (const Diagnosis& diagnosis : result.found) rows.push_back(row_of(diagnosis));
  std::size_t width[5] = {};
  for (const Row& row : rows)
    for (std::size_t i = 0; i < 5; ++i) width[i] = std::max(width[i], row.cells[i].size());
  for (const Row& row : rows) {
    text += fmt::format("{:>{}} {:>{}} ", row.cells[0], width[0], row.cells[1], width[1]);
    const std::string verdict = fmt::format("{:<{}}", row.cells[2], width[2]);
    text += row.answer == Answer::kDeadlock   ? styled(verdict, Style::kAlarm, options)
            : row.answer == Answer::kProbable ? styled(verdict, Style::kWarning, options)
                                              : verdict;
    text += fmt::format(" {:<{}} {:<{}} {}\n", row.cells[3], width[3], row.cells[4], width[4],
                        row.cells[5]);
  }
  return text;
}

}  // namespace forkscope
