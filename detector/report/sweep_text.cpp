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

int room_of(const TextOptions& options) {
  return std::max(options.width, int(kIndent) + kLeastRoom);
}

/// A word on the left, the lock beside it.
std::string head(const std::string& word, Style style, const std::string& lock,
                 const TextOptions& options) {
  return "  " + styled(fmt::format("{:<{}}", word, kIndent - 2), style, options) +
         wrapped(printable(lock), kIndent, room_of(options)).substr(kIndent);
}

/// A session may be of a run in which nothing was forced.
std::string lock_of(const SweepRow& row) {
  if (!row.lock.empty()) return row.lock;
  return row.spec.empty() ? "(nothing was forced)" : row.spec;
}

std::string row_text(const SweepTable::Row& row, const TextOptions& options) {
  const int room = room_of(options);
  const SweepResult result = row.verdict.result;
  std::string text = head(sweep_result_word(result), style_of(result), lock_of(row.row), options);
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
    text += head("not tried", Style::kWarning, lock, options);
    text += wrapped("nothing names it in another run: neither it nor who takes it is in a file",
                    kIndent, room_of(options));
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
