#include "detector/verdict/baseline.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <stdexcept>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope {
namespace {

constexpr std::string_view kHeader = "forkscope-baseline 1";
constexpr std::array<std::string_view, 4> kSeverities{"deadlock", "latent", "hazard", "note"};

std::size_t rank(std::string_view severity) {
  return static_cast<std::size_t>(
      std::find(kSeverities.begin(), kSeverities.end(), severity) - kSeverities.begin());
}

std::string_view next_word(std::string_view& text) {
  const std::size_t begin = std::min(text.find_first_not_of(" \t\r"), text.size());
  text.remove_prefix(begin);
  const std::string_view word = text.substr(0, std::min(text.find_first_of(" \t\r"), text.size()));
  text.remove_prefix(word.size());
  return word;
}

BaselineEntry parse_entry(std::string_view line, const std::string& place) {
  BaselineEntry entry;
  entry.fingerprint = next_word(line);
  if (!is_fingerprint(entry.fingerprint))
    throw std::runtime_error(fmt::format(
        "{}: {} is no fingerprint of this version; expected {} and 16 hexadecimal digits: write "
        "the file anew with --write-baseline",
        place, in_quotes(entry.fingerprint), kFingerprintPrefix));
  entry.severity = next_word(line);
  if (rank(entry.severity) == kSeverities.size())
    throw std::runtime_error(fmt::format("{}: {} is no severity; expected {}", place,
                                         in_quotes(entry.severity), fmt::join(kSeverities, ", ")));
  const std::string_view mark = next_word(line);
  if (!mark.empty() && !mark.starts_with('#'))
    throw std::runtime_error(
        fmt::format("{}: {} is too much; expected a # before the comment", place, in_quotes(mark)));
  const std::size_t begin = line.find_first_not_of(' ');
  if (begin != std::string_view::npos) entry.comment = line.substr(begin);
  return entry;
}

/// One line, whatever a symbol or a file is called.
std::string comment_of(const Finding& finding) {
  return printable(finding.kind + ": " + site_words(finding));
}

}  // namespace

std::vector<BaselineEntry> parse_baseline(std::string_view text, const std::string& file) {
  std::vector<BaselineEntry> entries;
  bool has_header = false;
  for (int number = 1; !text.empty(); ++number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    std::string_view rest = line;
    const std::string_view first = next_word(rest);
    if (first.empty() || first.starts_with('#')) continue;
    const std::string place = fmt::format("{}:{}", file, number);
    if (has_header) {
      entries.push_back(parse_entry(line, place));
    } else if (std::string_view version = next_word(rest);
               fmt::format("{} {}", first, version) == kHeader && next_word(rest).empty()) {
      has_header = true;
    } else {
      throw std::runtime_error(fmt::format(
          "{}: this is no baseline of this version; expected '{}': write one with --write-baseline",
          place, kHeader));
    }
  }
  if (!has_header)
    throw std::runtime_error(fmt::format(
        "{}:1: the file is empty; expected '{}': write one with --write-baseline", file, kHeader));
  return entries;
}

std::string baseline_text(const Report& report, const std::vector<BaselineEntry>& kept) {
  std::map<std::string, BaselineEntry> sorted;
  const auto add = [&](const BaselineEntry& entry) {
    const auto [there, is_new] = sorted.emplace(entry.fingerprint, entry);
    if (!is_new && rank(entry.severity) < rank(there->second.severity)) there->second = entry;
  };
  for (const Finding& finding : report.findings)
    add({finding.fingerprint, finding.severity, comment_of(finding)});
  for (const BaselineEntry& entry : kept) add(entry);
  std::string text = std::string(kHeader) + "\n";
  for (const auto& [fingerprint, entry] : sorted)
    text += fmt::format("{} {}{}{}\n", fingerprint, entry.severity, entry.comment.empty() ? "" : " # ",
                        entry.comment);
  return text;
}

void compare_with_baseline(Report& report, const std::vector<BaselineEntry>& entries,
                           const std::string& file) {
  std::map<std::string, std::size_t> accepted;  // the gravest severity, by fingerprint
  for (const BaselineEntry& entry : entries) {
    const auto [there, is_new] = accepted.emplace(entry.fingerprint, rank(entry.severity));
    if (!is_new) there->second = std::min(there->second, rank(entry.severity));
  }
  std::set<std::string> seen;
  for (Finding& finding : report.findings) {
    seen.insert(finding.fingerprint);
    const auto entry = accepted.find(finding.fingerprint);
    finding.known = entry != accepted.end() && entry->second <= rank(finding.severity);
    report.summary.known += finding.known;
  }
  for (const Finding& finding : report.suppressed) seen.insert(finding.fingerprint);
  report.baseline = BaselineUse{file, {}};
  for (const BaselineEntry& entry : entries)
    if (!seen.count(entry.fingerprint)) report.baseline->missing.push_back(entry);
}

}  // namespace forkscope
