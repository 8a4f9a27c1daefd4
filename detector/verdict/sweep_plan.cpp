#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/sweep.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// The name as a pattern that matches it, in the grammar of --inject: a comma would end the value.
std::string as_pattern(const std::string& name) {
  std::string pattern;
  for (char c : name) {
    if (c == ',' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

/// How --inject tells the lock from others, in whatever run; empty where nothing does.
std::string lock_pattern(const LearnedLock& learned) {
  const LockInfo& lock = learned.lock;
  if (!lock.module.empty())
    return as_pattern(fmt::format("{}+{:#x}", base_name(lock.module), lock.offset));
  const Frame* site = site_of(learned.user.acquired);
  if (site == nullptr || site->function.empty()) return "";
  return as_pattern(without_parameters(site->function));
}

std::string spec_of(const LearnedLock& learned) {
  if (!learned.function.empty())
    return "fork:while-in,function=" + as_pattern(learned.function);
  const std::string pattern = lock_pattern(learned);
  return pattern.empty() ? "" : "fork:while-held,lock=" + pattern;
}

}  // namespace

std::vector<SweepRow> sweep_plan(const Report& learned) {
  std::set<std::uint64_t> suspects;
  for (const Finding& finding : learned.findings)
    if (finding.severity == "latent" || finding.severity == "deadlock")
      suspects.insert(finding.lock.address);
  std::vector<SweepRow> rows;
  std::set<std::string> known;
  for (const LearnedLock& lock : learned.learned) {
    SweepRow row;
    row.spec = spec_of(lock);
    if (row.spec.empty() || !known.insert(row.spec).second) continue;
    row.lock = lock.words;
    row.suspected = lock.lock.address != 0 && suspects.count(lock.lock.address) > 0;
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(), [](const SweepRow& a, const SweepRow& b) {
    return a.suspected && !b.suspected;
  });
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i].id = fmt::format("{:03}", i + 1);
  return rows;
}

}  // namespace forkscope
