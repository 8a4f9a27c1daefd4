// The lines at the end of a run.
#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "detector/report/layout.hpp"
#include "detector/report/noise_text.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/headline.hpp"

namespace forkscope {
namespace {

std::string counted(std::uint64_t count, const std::string& one, const std::string& many) {
  return fmt::format("{} {}", count, count == 1 ? one : many);
}

std::string unobserved_lines(const Report& report) {
  std::string lines;
  for (const NotObservedProgram& program : report.not_observed) {
    const std::string processes = program.count == 1 ? fmt::format("process {}", program.pid)
                                                     : fmt::format("{} processes, the first is {}",
                                                                   program.count, program.pid);
    lines += fmt::format("forkscope: not observed: {} {} ({})\n", printable(program.path),
                         printable(program.reason), processes);
  }
  return lines;
}

/// Hazards that are printed in full, as what they probably are.
std::uint64_t probable_deadlocks(const Report& report) {
  std::uint64_t count = 0;
  for (const Finding& finding : report.findings)
    count += !finding.known && finding.severity == "hazard" && finding.certainty == "probable" &&
             finding.outcome != "came back";
  return count;
}

/// The same event as one that is printed: a lock that a child of the same fork hung on, or could
/// have. It is not counted again.
bool told_already(const Finding& hazard, const Report& report) {
  return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& other) {
    const bool printed = !other.known && (other.severity == "deadlock" || other.severity == "latent" ||
                                          other.certainty == "probable");
    return &other != &hazard && printed && other.kind == hazard.kind && other.fork == hazard.fork &&
           hazard.lock.address != 0 && other.lock.address == hazard.lock.address;
  });
}

/// Hazards and notes: most children of a fork with a held lock finish well, so they get one line
/// together; with `verbose` the caller prints each with finding_text().
std::string quiet_line(const Report& report, const TextOptions& options) {
  if (options.verbose) return "";
  // Those that the baseline accepts have a line of their own.
  std::uint64_t hazards = report.summary.hazards - probable_deadlocks(report);
  std::uint64_t notes = report.summary.notes;
  for (const Finding& finding : report.findings) {
    const bool again = finding.known || (finding.certainty != "probable" &&
                                         told_already(finding, report));
    hazards -= finding.severity == "hazard" && again;
    notes -= finding.severity == "note" && again;
  }
  std::vector<std::string> parts;
  if (hazards > 0) parts.push_back(counted(hazards, "hazard", "hazards"));
  if (notes > 0) parts.push_back(counted(notes, "note", "notes"));
  if (parts.empty()) return "";
  const bool one = hazards + notes == 1;
  return fmt::format("forkscope: {}, {} (--verbose shows {})\n", fmt::join(parts, " and "),
                     one ? "which is no deadlock" : "none of them a deadlock", one ? "it" : "them");
}

std::string drop_lines(const Summary& summary, const TextOptions& options) {
  std::string lines;
  if (summary.dropped_records > 0) {
    lines += fmt::format(
        "forkscope: {} lost because the session was full: there may be more than is shown here\n",
        counted(summary.dropped_records, "record was", "records were"));
  }
  if (summary.dropped_locks > 0) {
    lines += fmt::format(
        "forkscope: {} not watched: the thread held more locks than its table has room for\n",
        counted(summary.dropped_locks, "lock was", "locks were"));
  }
  if (summary.dropped_threads > 0) {
    lines += fmt::format("forkscope: {} not watched: there were too many at once\n",
                         counted(summary.dropped_threads, "thread was", "threads were"));
  }
  if (summary.dropped_handlers > 0) {
    lines += fmt::format("forkscope: {} not watched: there were too many at once\n",
                         counted(summary.dropped_handlers, "registration of at-fork handlers was",
                                 "registrations of at-fork handlers were"));
  }
  if (summary.full_histories > 0) {
    lines += fmt::format(
        "forkscope: {} took more locks than are remembered: latent deadlocks may be missed\n",
        counted(summary.full_histories, "process", "processes"));
  }
  if (summary.cramped > 0) {
    lines += fmt::format(
        "forkscope: {} not observed, or not to the end: the limit of address space (ulimit -v) "
        "leaves no room for records\n",
        counted(summary.cramped, "process was", "processes were"));
  }
  if (summary.abandoned_locks > 0 && options.verbose) {
    lines += fmt::format("forkscope: {} still held when the thread that took {} ended\n",
                         counted(summary.abandoned_locks, "lock was", "locks were"),
                         summary.abandoned_locks == 1 ? "it" : "them");
  }
  return lines;
}

std::string finding_counts(const Report& report, const TextOptions& options) {
  std::uint64_t deadlocks = 0, deaths = 0, latent = 0;
  for (const Finding& finding : report.findings) {
    if (finding.known) continue;
    deadlocks += finding.severity == "deadlock" && !finding.died;
    deaths += finding.severity == "deadlock" && finding.died;
    latent += finding.severity == "latent";
  }
  std::vector<std::string> parts;
  if (deadlocks > 0) {
    parts.push_back(styled(counted(deadlocks, "deadlock", "deadlocks"), Style::kAlarm, options));
  }
  if (deaths > 0) {
    parts.push_back(
        styled(counted(deaths, "death by fork", "deaths by fork"), Style::kAlarm, options));
  }
  if (const std::uint64_t probable = probable_deadlocks(report); probable > 0) {
    parts.push_back(styled(counted(probable, "probable deadlock", "probable deadlocks"),
                           Style::kWarning, options));
  }
  if (latent > 0) {
    parts.push_back(
        styled(counted(latent, "latent deadlock", "latent deadlocks"), Style::kWarning, options));
  }
  if (parts.empty())
    return styled(report.summary.known > 0 ? "nothing new found" : "no deadlock found",
                  Style::kGood, options);
  return fmt::format("found {}", fmt::join(parts, " and "));
}

std::vector<std::string> api_counts(const Summary& summary) {
  std::vector<std::string> counts;
  for (const auto& [api, count] : summary.apis) counts.push_back(fmt::format("{} {}", count, api));
  return counts;
}

/// Which calls made the processes, where they are not all fork: those that copy no memory cannot
/// leave an orphaned lock.
std::string api_line(const Summary& summary) {
  std::uint64_t recorded = 0;
  for (const auto& [api, count] : summary.apis) recorded += count;
  if (summary.safe == 0 || summary.safe == recorded) return "";
  return fmt::format("forkscope: {} of the {} recorded forks cannot leave an orphaned lock ({})\n",
                     summary.safe, recorded, fmt::join(api_counts(summary), ", "));
}

std::string summary_line(const Report& report, const TextOptions& options) {
  const Summary& summary = report.summary;
  std::vector<std::string> parts;
  const auto add = [&](std::uint64_t count, const char* what) {
    if (count > 0) parts.push_back(fmt::format("{} {}", count, what));
  };
  add(summary.execed, "exec'ed");
  add(summary.finished, "finished");
  add(summary.signalled, "ended by a signal");
  add(summary.deadlocked, "deadlocked");
  add(summary.running, "still running");
  add(summary.unknown, "with unknown end");
  add(summary.unrecorded, "counted only");
  std::string line = "forkscope: " + counted(summary.forks, "fork", "forks");
  if (!parts.empty()) line += fmt::format(": {}", fmt::join(parts, ", "));
  if (summary.failed > 0) line += fmt::format("; {} more failed", summary.failed);
  return line + "; " + finding_counts(report, options) + "\n";
}

/// Those one would look for with ps(1): they are still there, and will be.
std::string still_hanging_line(const Report& report) {
  std::vector<std::int32_t> pids;
  for (const ForkReport& fork : report.forks)
    if (fork.still_there && fork.outcome == "deadlock" && fork.child != 0) pids.push_back(fork.child);
  if (pids.empty()) return "";
  constexpr std::size_t kMost = 8;
  const std::size_t more = pids.size() > kMost ? pids.size() - kMost : 0;
  pids.resize(std::min(pids.size(), kMost));
  return fmt::format("forkscope: {} still hang{}: {}{}\n",
                     pids.size() == 1 ? "a child" : "children", pids.size() == 1 ? "s" : "",
                     fmt::join(pids, ", "), more == 0 ? "" : fmt::format(" and {} more", more));
}

/// What the sanitizers end with, for who searches logs: nothing where nothing was found.
std::string last_line(const Report& report) {
  const Finding* gravest = nullptr;
  std::size_t others = 0;
  for (const Finding& finding : report.findings) {
    const bool grave = finding.severity == "deadlock" || finding.severity == "latent" ||
                       (finding.certainty == "probable" && finding.outcome != "came back");
    if (finding.known || !grave) continue;
    if (gravest == nullptr)
      gravest = &finding;
    else
      ++others;
  }
  if (gravest == nullptr) return "";
  const std::string place = printable(own_place(gravest->waiter.python, gravest->waiter.stack));
  return fmt::format("SUMMARY: forkscope: {} ({}){}{}\n",
                     gravest->certainty == "probable" ? "probable deadlock"
                     : gravest->severity == "latent"  ? "latent deadlock"
                     : gravest->died                  ? "death by fork"
                                                      : "deadlock",
                     gravest->kind, place.empty() ? "" : " " + place,
                     others == 0 ? "" : fmt::format(" and {} more", others));
}

}  // namespace

std::string summary_text(const Report& report, const TextOptions& options) {
  return unobserved_lines(report) + noise_text(report, options) + quiet_line(report, options) +
         drop_lines(report.summary, options) + still_hanging_line(report) +
         (options.verbose ? api_line(report.summary) : std::string()) +
         summary_line(report, options) + last_line(report);
}

}  // namespace forkscope
