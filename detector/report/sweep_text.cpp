#include <fmt/format.h>

#include "detector/report/layout.hpp"
#include "detector/report/print_sweep.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kIndent = 24;  // of the words on a run
constexpr int kLeastRoom = 40;

Style style_of(SweepResult result) {
  switch (result) {
    case SweepResult::kDeadlocked:
    case SweepResult::kElsewhere:
      return Style::kAlarm;
    case SweepResult::kFailed:
    case SweepResult::kNotReached:
    case SweepResult::kMissing:
      return Style::kWarning;
    case SweepResult::kSurvived:
    case SweepResult::kProtected:
      return Style::kGood;
  }
  return Style::kLabel;
}

std::string row_text(const SweepTable::Row& row, const TextOptions& options) {
  const int room = std::max(options.width, int(kIndent) + kLeastRoom);
  const SweepResult result = row.verdict.result;
  const std::string word = fmt::format("{:<{}}", sweep_result_word(result), kIndent - 2);
  std::string text = "  " + styled(word, style_of(result), options);
  text += wrapped(printable(row.row.lock.empty() ? row.row.spec : row.row.lock), kIndent, room)
              .substr(kIndent);
  if (!row.verdict.detail.empty()) text += wrapped(printable(row.verdict.detail), kIndent, room);
  if (!row.verdict.fingerprint.empty()) {
    text += wrapped(printable(row.verdict.site), kIndent, room);
    text += std::string(kIndent, ' ') + row.verdict.fingerprint + "\n";
  }
  const bool told = options.verbose || result == SweepResult::kDeadlocked ||
                    result == SweepResult::kElsewhere || result == SweepResult::kFailed;
  if (!told) return text;
  // Unbroken, so that it can be copied.
  text += fmt::format("{:{}}$ {}\n", "", kIndent, printable(row.command));
  if (!row.session.empty())
    text += fmt::format("{:{}}forkscope report {}\n", "", kIndent, printable(row.session));
  return text;
}

}  // namespace

std::string sweep_counts_text(const SweepCounts& counts) {
  std::string text;
  const auto add = [&](std::size_t count, SweepResult result) {
    if (count > 0)
      text += fmt::format("{}{} {}", text.empty() ? "" : ", ", count, sweep_result_word(result));
  };
  add(counts.deadlocked, SweepResult::kDeadlocked);
  add(counts.elsewhere, SweepResult::kElsewhere);
  add(counts.survived, SweepResult::kSurvived);
  add(counts.protected_, SweepResult::kProtected);
  add(counts.not_reached, SweepResult::kNotReached);
  add(counts.failed, SweepResult::kFailed);
  add(counts.missing, SweepResult::kMissing);
  return text;
}

std::string sweep_text(const SweepTable& table, const TextOptions& options) {
  std::string text;
  if (table.learned_deadlocks > 0)
    text = fmt::format("A child deadlocked when nothing was forced: forkscope report {}/learn\n",
                       printable(table.folder));
  for (const SweepTable::Row& row : table.rows) text += row_text(row, options);
  for (const std::string& lock : table.untried) {
    text += "  " + styled(fmt::format("{:<{}}", "not tried", kIndent - 2), Style::kWarning, options);
    text += wrapped(printable(lock), kIndent, std::max(options.width, int(kIndent) + kLeastRoom))
                .substr(kIndent);
    text += wrapped("nothing names it in another run: it is in no file, and so is who takes it",
                    kIndent, std::max(options.width, int(kIndent) + kLeastRoom));
  }
  const std::size_t runs = table.rows.size();
  if (runs == 0 && table.untried.empty())
    return text +
           "sweep: no other thread used a lock that a fork could orphan: there is nothing to try\n";
  text += fmt::format("sweep: {} run{}{}{}", runs, runs == 1 ? "" : "s", runs == 0 ? "" : ": ",
                      sweep_counts_text(counts_of(table)));
  if (!table.untried.empty())
    text += fmt::format("; {} lock{} not tried", table.untried.size(),
                        table.untried.size() == 1 ? "" : "s");
  if (!table.folder.empty()) text += "; kept in " + printable(table.folder);
  return text + "\n";
}

}  // namespace forkscope
