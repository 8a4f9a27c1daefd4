// The table of at-fork handlers, of all forks of a run together.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "detector/report/layout.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostLocks = 4;

struct Phase {
  std::optional<Frame> function;
  std::uint64_t runs = 0, total = 0, longest = 0;
  std::vector<std::string> taken, left;
};
struct Row {
  std::optional<Frame> registered;
  std::uint64_t passed_by = 0;
  Phase prepare, parent, child;
};

void add_names(std::vector<std::string>& names, const std::vector<LockInfo>& locks) {
  for (const LockInfo& lock : locks)
    if (const std::string name = lock_words(lock);
        std::find(names.begin(), names.end(), name) == names.end())
      names.push_back(name);
}

void add(Phase& phase, const std::optional<HandlerReport::Run>& run, bool passed_by) {
  if (!run) return;
  if (!phase.function) phase.function = run->function;
  if (passed_by) return;
  ++phase.runs;
  phase.total += run->nanoseconds;
  phase.longest = std::max(phase.longest, run->nanoseconds);
  add_names(phase.taken, run->taken);
  add_names(phase.left, run->left);
}

std::string duration(std::uint64_t nanoseconds) {
  const auto value = double(nanoseconds);
  if (nanoseconds < 1'000) return fmt::format("{} ns", nanoseconds);
  if (nanoseconds < 1'000'000) return fmt::format("{:.1f} us", value / 1e3);
  if (nanoseconds < 1'000'000'000) return fmt::format("{:.1f} ms", value / 1e6);
  return fmt::format("{:.2f} s", value / 1e9);
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (std::size_t i = 0; i < names.size() && i < kMostLocks; ++i)
    text += (i == 0 ? "" : ", ") + names[i];
  if (names.size() > kMostLocks) text += fmt::format(" and {} more", names.size() - kMostLocks);
  return text;
}

std::string phase_lines(const char* name, const Phase& phase, const TextOptions& options) {
  if (!phase.function && phase.runs == 0) return "";
  constexpr std::size_t kIndent = 6;
  const std::string function =
      phase.function ? frame_words(*phase.function, options.width - 16) : "";
  std::string line = fmt::format("{:<8} {}", name, function);
  if (phase.runs > 0) {
    line += fmt::format(": {} {}, {} on average, {} at most", phase.runs,
                        phase.runs == 1 ? "run" : "runs", duration(phase.total / phase.runs),
                        duration(phase.longest));
  }
  if (!phase.taken.empty()) line += "; takes " + listed(phase.taken);
  if (!phase.left.empty()) line += "; leaves locked " + listed(phase.left);
  return wrapped(printable(line), kIndent, options.width);
}

}  // namespace

std::string handlers_text(const Report& report, const TextOptions& options) {
  if (!options.verbose) return "";
  // Of several programs in a tree the places of registration differ.
  std::map<std::tuple<std::uint32_t, std::string, std::uint64_t>, Row> rows;
  for (const ForkReport& fork : report.forks) {
    if (!fork.handlers) continue;
    for (const HandlerReport& handler : *fork.handlers) {
      const Frame at = handler.registered.value_or(Frame{});
      Row& row = rows[{handler.order, at.module, at.offset}];
      row.registered = handler.registered;
      row.passed_by += handler.passed_by;
      add(row.prepare, handler.prepare, handler.passed_by);
      add(row.parent, handler.parent, handler.passed_by);
      add(row.child, handler.child, handler.passed_by);
    }
  }
  if (rows.empty()) return "";
  std::string text =
      "forkscope: at-fork handlers by registration (prepare runs from the last to the first)\n";
  for (const auto& [key, row] : rows) {
    std::string head = fmt::format("{}", std::get<0>(key));
    if (row.registered)
      head += "  registered at " + frame_words(*row.registered, options.width - 20);
    if (row.passed_by > 0)
      head +=
          fmt::format("; passed by in {} {}", row.passed_by, row.passed_by == 1 ? "fork" : "forks");
    text += wrapped(printable(head), 2, options.width);
    text += phase_lines("prepare", row.prepare, options);
    text += phase_lines("parent", row.parent, options);
    text += phase_lines("child", row.child, options);
  }
  return text;
}

}  // namespace forkscope
