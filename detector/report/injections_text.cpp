// The section of a report on what was injected: one line for each injection and result.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <utility>

#include "detector/report/layout.hpp"
#include "detector/report/print.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostNames = 4;

/// What came of one injection in one way.
struct Row {
  std::uint64_t times = 0;
  std::vector<std::string> names;  ///< locks, functions or errors, the first few
};

std::string about(const InjectedReport& injected) {
  if (!injected.probed.empty() && !injected.lock) return injected.probed;
  if (injected.lock) return lock_words(*injected.lock);
  return !injected.function.empty() ? injected.function + "()" : injected.error;
}

void add(Row& row, const InjectedReport& injected) {
  row.times += injected.times;
  const std::string name = about(injected);
  if (!name.empty() && std::find(row.names.begin(), row.names.end(), name) == row.names.end())
    row.names.push_back(name);
}

std::string row_words(const std::string& result, const Row& row) {
  std::string words =
      fmt::format("{} {}", result, row.times == 1 ? "once" : fmt::format("{} times", row.times));
  for (std::size_t i = 0; i < row.names.size() && i < kMostNames; ++i)
    words += (i == 0 ? " (" : ", ") + row.names[i];
  if (row.names.size() > kMostNames)
    words += fmt::format(" and {} more", row.names.size() - kMostNames);
  return row.names.empty() ? words : words + ")";
}

}  // namespace

std::string injections_text(const Report& report, const TextOptions& options) {
  if (!report.seed) return "";
  std::vector<std::string> specs = report.inject;
  std::map<std::pair<std::string, std::string>, Row> rows;
  std::uint64_t told_of = 0;
  for (const InjectedReport& injected : report.injected) {
    told_of += injected.times;
    if (std::find(specs.begin(), specs.end(), injected.spec) == specs.end())
      specs.push_back(injected.spec);
    add(rows[{injected.spec, injected.result}], injected);
  }
  std::string text = fmt::format("forkscope: injected with --seed={}\n", *report.seed);
  std::set<std::string> told;
  for (const std::string& spec : specs) {
    if (!told.insert(spec).second) continue;
    std::vector<std::string> results;
    for (const auto& [key, row] : rows)
      if (key.first == spec) results.push_back(row_words(key.second, row));
    if (results.empty()) results.push_back("no such call was made");
    text += wrapped(fmt::format("{}: {}", spec, fmt::join(results, "; ")), 2, options.width);
  }
  if (report.summary.injected > told_of)
    text += fmt::format("  and {} more that were only counted\n",
                        report.summary.injected - told_of);
  return text;
}

}  // namespace forkscope
