#include "detector/cli/fail_on.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>

#include "detector/verdict/foreign_text.hpp"

namespace forkscope::cli {
namespace {

/// In the order of Gravity.
constexpr std::array<std::string_view, 5> kWords{"deadlock", "probable", "latent", "hazard",
                                                 "note"};

std::optional<Gravity> gravity_called(std::string_view word) {
  const auto at = std::find(kWords.begin(), kWords.end(), word);
  if (at == kWords.end()) return std::nullopt;
  return static_cast<Gravity>(at - kWords.begin());
}

}  // namespace

Gravity gravity_of(const Finding& finding) {
  const bool may_go_on = finding.certainty != "probable" || finding.outcome == "came back";
  if (finding.severity == "hazard" && !may_go_on) return Gravity::kProbable;
  return gravity_called(finding.severity).value_or(Gravity::kNote);
}

FailOn and_graver(Gravity mildest) {
  FailOn wanted;
  for (int i = 0; i <= static_cast<int>(mildest); ++i) wanted.insert(static_cast<Gravity>(i));
  return wanted;
}

std::string parse_fail_on(const std::string& text, FailOn& wanted) {
  constexpr std::string_view kOnly = "only:";
  const bool only = text.starts_with(kOnly);
  std::string_view rest = text;
  if (only) rest.remove_prefix(kOnly.size());
  FailOn named;
  while (true) {
    const std::size_t comma = std::min(rest.find(','), rest.size());
    const std::string_view word = rest.substr(0, comma);
    const auto gravity = gravity_called(word);
    if (!gravity)
      return fmt::format(
          "{} is no severity; give deadlock, probable, latent, hazard or note, which means this and "
          "graver ones, or only:LIST",
          in_quotes(word));
    named.insert(*gravity);
    if (comma == rest.size()) break;
    rest.remove_prefix(comma + 1);
  }
  wanted = only ? named : and_graver(*named.rbegin());
  return {};
}

bool fails(const Report& report, const FailOn& on) {
  return std::any_of(report.findings.begin(), report.findings.end(), [&](const Finding& finding) {
    return !finding.known && on.contains(gravity_of(finding));
  });
}

}  // namespace forkscope::cli
