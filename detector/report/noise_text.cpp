#include "detector/report/noise_text.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "detector/report/layout.hpp"
#include "detector/verdict/fingerprint.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostMissing = 8;  // entries named without --verbose

std::string counted(std::uint64_t count, const std::string& one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string baseline_lines(const Report& report, const TextOptions& options) {
  if (!report.baseline) return "";
  const BaselineUse& baseline = *report.baseline;
  const std::uint64_t fresh = report.findings.size() - report.summary.known;
  std::string text =
      fmt::format("forkscope: baseline {}: {} known, {} new", printable(baseline.file),
                  report.summary.known, fresh);
  const auto unidentified = std::count_if(
      report.findings.begin(), report.findings.end(),
      [](const Finding& finding) { return finding.fingerprint == kUnidentified; });
  if (unidentified > 0)
    text += fmt::format(" ({} unidentified, which no baseline accepts)", unidentified);
  if (baseline.missing.empty()) return text + "\n";
  text += fmt::format("; {} did not appear:\n",
                      baseline.missing.size() == 1
                          ? "1 entry"
                          : fmt::format("{} entries", baseline.missing.size()));
  const std::size_t most = options.verbose ? baseline.missing.size() : kMostMissing;
  for (std::size_t i = 0; i < std::min(most, baseline.missing.size()); ++i) {
    const BaselineEntry& entry = baseline.missing[i];
    text += fmt::format("  {} {} {}\n", entry.fingerprint, entry.severity, printable(entry.comment));
  }
  if (baseline.missing.size() > most)
    text += fmt::format("  ... {} more (--verbose names them)\n", baseline.missing.size() - most);
  return text;
}

}  // namespace

std::string suppression_text(const std::vector<RuleUse>& rules, std::uint64_t findings,
                             const TextOptions& options) {
  if (rules.empty()) return "";
  const auto used = std::count_if(rules.begin(), rules.end(),
                                  [](const RuleUse& rule) { return rule.hits > 0; });
  const std::size_t idle = rules.size() - static_cast<std::size_t>(used);
  std::string text =
      fmt::format("forkscope: {} suppressed by {} of {}", counted(findings, "finding"), used,
                  counted(rules.size(), "rule"));
  if (idle > 0 && !options.verbose)
    text += fmt::format("; {} matched nothing (--verbose names {})", idle, idle == 1 ? "it" : "them");
  text += "\n";
  if (!options.verbose) return text;
  for (const RuleUse& rule : rules) {
    const std::string hits = rule.hits == 0 ? "unused" : counted(rule.hits, "hit");
    text += fmt::format("  {:>9}  {}  ({}:{})\n", hits, printable(rule.rule), printable(rule.file),
                        rule.line);
  }
  return text;
}

std::string noise_text(const Report& report, const TextOptions& options) {
  return suppression_text(report.suppressions, report.summary.suppressed, options) +
         baseline_lines(report, options);
}

}  // namespace forkscope
