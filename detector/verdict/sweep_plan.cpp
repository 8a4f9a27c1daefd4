#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/learned.hpp"
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

/// Parts of a qualified name, without parameters, template arguments and unnamed namespaces.
std::vector<std::string> parts_of(const std::string& function) {
  constexpr std::string_view kUnnamed = "(anonymous namespace)";
  std::vector<std::string> parts{""};
  int depth = 0;
  for (std::size_t i = 0; i < function.size(); ++i) {
    const char c = function[i];
    if (depth == 0 && function.compare(i, kUnnamed.size(), kUnnamed) == 0) {
      i += kUnnamed.size() - 1;
    } else if (depth == 0 && c == ':' && i + 1 < function.size() && function[i + 1] == ':') {
      if (!parts.back().empty()) parts.emplace_back();
      ++i;
    } else {
      depth += c == '<' || c == '(';
      if (depth == 0) parts.back() += c;
      depth -= c == '>' || c == ')';
    }
  }
  return parts;
}

/// A name as the Itanium C++ ABI mangles it, as far as its parts tell.
std::string mangled_pattern(const std::string& prefix, const std::string& name,
                            const std::string& end) {
  std::string pattern = prefix;
  for (const std::string& part : parts_of(name))
    if (!part.empty()) pattern += fmt::format("*{}{}", part.size(), part);
  return pattern + end;
}

/// A function as --inject knows it: its qualified name or the last part of that. It has templates
/// and lambdas by their mangled names only.
std::string function_pattern(const std::string& function) {
  if (const std::size_t lambda = function.find("::{lambda"); lambda != std::string::npos)
    return mangled_pattern("_ZZ", function.substr(0, lambda), "*Ul*");
  const std::string name = without_parameters(function);
  if (name.find('<') != std::string::npos) return mangled_pattern("_Z", name, "*");
  return as_pattern(name.find('(') == std::string::npos ? name : parts_of(name).back());
}

/// How --inject tells the lock from others, in whatever run; empty where nothing does.
std::string lock_pattern(const LearnedLock& learned) {
  const LockInfo& lock = learned.lock;
  if (!lock.module.empty())
    return as_pattern(fmt::format("{}+{:#x}", base_name(lock.module), lock.offset));
  if (!learned.birth.empty()) return learned.birth;
  const Frame* site = site_of(learned.user.acquired);
  if (site == nullptr) return "";
  if (!site->function.empty()) return function_pattern(site->function);
  // Code without symbols: the place of the call. Code that is in no file has not even that.
  if (site->module.empty()) return "";
  return as_pattern(fmt::format("site:{}+{:#x}", base_name(site->module), site->offset));
}

std::string spec_of(const LearnedLock& learned) {
  if (!learned.function.empty())
    return "fork:while-in,function=" + as_pattern(learned.function);
  const std::string pattern = lock_pattern(learned);
  return pattern.empty() ? "" : "fork:while-held,lock=" + pattern;
}

std::string hold_spec(const LearnedLock& learned) {
  return "lock:hold=20ms,lock=" + lock_pattern(learned);
}

using Addresses = std::set<std::uint64_t>;

/// At-fork handlers take locks the other way round than some thread does.
bool is_inversion(const Finding& finding) {
  return finding.severity == "latent" && finding.evidence == "lock-order";
}

/// In CPython the forking thread has the interpreter to itself, so nobody takes a lock while it waits
/// for that. Who stays long after taking one is asked to let others run, and has it still then.
bool is_held_for_others(const LearnedLock& learned) {
  const auto& taken = learned.user.acquired;
  // Those in modules are the interpreter's own, the GIL among them.
  return !taken.empty() && is_python_module(taken.front().module) && !learned.birth.empty();
}

/// Those that other threads used before a fork, and those of latent findings that no fork wrote of:
/// the other thread came to them only later, as to a function's static variable.
std::vector<LearnedLock> locks_to_try(const Report& learned) {
  std::vector<LearnedLock> locks = learned.learned;
  Addresses known;
  for (const LearnedLock& lock : locks) known.insert(lock.lock.address);
  for (const Finding& finding : learned.findings) {
    const bool orphan = finding.kind == "orphaned-lock" && finding.severity == "latent";
    if ((orphan || is_inversion(finding)) && known.insert(finding.lock.address).second)
      locks.push_back(lock_of_finding(finding));
  }
  return locks;
}

}  // namespace

std::vector<std::string> untried_locks(const Report& learned) {
  std::vector<std::string> words;
  for (const LearnedLock& lock : locks_to_try(learned))
    if (spec_of(lock).empty()) words.push_back(lock.words);
  return words;
}

std::vector<SweepRow> sweep_plan(const Report& learned) {
  Addresses suspects, inverted;
  for (const Finding& finding : learned.findings) {
    if (finding.severity == "latent" || finding.severity == "deadlock")
      suspects.insert(finding.lock.address);
    if (is_inversion(finding)) inverted.insert(finding.lock.address);
  }
  std::vector<SweepRow> rows;
  std::set<std::string> known;
  for (const LearnedLock& lock : locks_to_try(learned)) {
    SweepRow row;
    row.spec = spec_of(lock);
    if (row.spec.empty() || !known.insert(row.spec).second) continue;
    row.lock = lock.words;
    if (lock.function.empty() && is_held_for_others(lock)) {
      row.also = hold_spec(lock);
      row.spec += ",wait=100ms";  // longer would be in vain
    } else if (inverted.count(lock.lock.address) > 0) {
      // The other thread must not have the second lock yet when the handlers come to it.
      row.also = hold_spec(lock);
    }
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
