#include "detector/verdict/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// The word of inject.def.
std::string word(InjectResult result) { return facts_of(result).word; }

std::uint64_t address_of(const InjectedReport& injected) {
  return injected.lock ? injected.lock->address : 0;
}

/// How much a result tells, the more the smaller.
int rank(const InjectedReport& injected) {
  const InjectResult kOrder[] = {InjectResult::kForced, InjectResult::kNeededByForker,
                                 InjectResult::kInside, InjectResult::kLetGo};
  int rank = 0;
  for (const InjectResult result : kOrder) {
    if (injected.result == word(result)) break;
    ++rank;
  }
  return rank;
}

/// "f (libfoo.so)" of the function that a handler is.
std::string handler_words(const std::optional<Frame>& function) {
  if (!function) return "an at-fork handler";
  const std::string module = module_name(function->module);
  return function->function.empty() ? fmt::format("{}+{:#x}", module, function->offset)
                                    : fmt::format("{} ({})", function->function, module);
}

bool has(const std::vector<LockInfo>& locks, std::uint64_t address) {
  return address != 0 && std::any_of(locks.begin(), locks.end(), [&](const LockInfo& one) {
           return one.address == address;
         });
}

/// Who takes the lock before the copy, or makes it good in the child.
std::string protector_of(const Report& run, const InjectedReport& injected) {
  for (const ForkReport& fork : run.forks) {
    if (fork.pid != injected.pid || !fork.handlers) continue;
    for (const HandlerReport& handler : *fork.handlers) {
      if (handler.prepare && has(handler.prepare->taken, address_of(injected)))
        return handler_words(handler.prepare->function);
      if (handler.child && has(handler.child->released, address_of(injected)))
        return handler_words(handler.child->function);
    }
  }
  return "";
}

bool is_about(const Finding& finding, const InjectedReport& injected) {
  if (!injected.function.empty()) return finding.kind == "libc-lock";
  return finding.lock.address != 0 && finding.lock.address == address_of(injected);
}

struct Deadlocks {
  const Finding* at_lock = nullptr;
  const Finding* elsewhere = nullptr;
};
Deadlocks deadlocks_of(const Report& run, const InjectedReport* injected) {
  Deadlocks found;
  for (const Finding& finding : run.findings) {
    if (finding.severity != "deadlock") continue;
    const Finding*& place =
        injected != nullptr && is_about(finding, *injected) ? found.at_lock : found.elsewhere;
    if (place == nullptr) place = &finding;
  }
  return found;
}

SweepVerdict decided_by(const Finding& finding, SweepResult result) {
  SweepVerdict verdict;
  verdict.result = result;
  verdict.fingerprint = finding.fingerprint;
  verdict.site = site_words(finding);
  verdict.detail = finding.verdict;
  return verdict;
}

SweepVerdict simple(SweepResult result, std::string detail) {
  SweepVerdict verdict;
  verdict.result = result;
  verdict.detail = std::move(detail);
  return verdict;
}

std::string end_words(const SweepEnd& end) {
  if (end.timed_out) return "did not end within the time limit";
  if (end.signal) return "was ended by " + signal_word(*end.signal);
  if (end.exit) return fmt::format("ended with exit status {}", *end.exit);
  return "left no word of its end";
}

bool same(const SweepEnd& a, const SweepEnd& b) {
  return a.exit == b.exit && a.signal == b.signal && a.timed_out == b.timed_out;
}

}  // namespace

std::string sweep_result_word(SweepResult result) {
  switch (result) {
    case SweepResult::kDeadlocked:
      return "deadlocked";
    case SweepResult::kElsewhere:
      return "deadlocked elsewhere";
    case SweepResult::kSurvived:
      return "survived";
    case SweepResult::kProtected:
      return "protected";
    case SweepResult::kNotReached:
      return "not reached";
    case SweepResult::kFailed:
      return "failed";
    case SweepResult::kMissing:
      return "missing";
  }
  return "";
}

const InjectedReport* decisive_injection(const Report& run) {
  const InjectedReport* best = nullptr;
  for (const InjectedReport& injected : run.injected)
    if (injected.point == "fork" && (best == nullptr || rank(injected) < rank(*best)))
      best = &injected;
  return best;
}

std::string injected_words(const InjectedReport& injected) {
  if (!injected.function.empty()) return injected.function + "()";
  if (!injected.lock) return "";
  Finding finding;
  finding.lock = *injected.lock;
  if (injected.caller) finding.holder.acquired = {*injected.caller};
  return site_words(finding);
}

SweepEnd end_of(const Report& report) { return {report.exit, report.signal, report.timed_out}; }

SweepVerdict sweep_verdict(const Report& run, const std::optional<SweepEnd>& learned) {
  const InjectedReport* injected = decisive_injection(run);
  const Deadlocks found = deadlocks_of(run, injected);
  if (found.at_lock != nullptr) return decided_by(*found.at_lock, SweepResult::kDeadlocked);
  if (found.elsewhere != nullptr) return decided_by(*found.elsewhere, SweepResult::kElsewhere);
  const SweepEnd end = end_of(run);
  if (end.timed_out || (learned && !same(end, *learned)))
    return simple(SweepResult::kFailed,
                  fmt::format("the program {}, and no deadlock was found", end_words(end)));
  if (injected == nullptr)
    return simple(SweepResult::kNotReached, "the program made no such fork");
  if (injected->result == word(InjectResult::kInside))
    return simple(SweepResult::kNotReached,
                  "another thread was in it at the fork, but perhaps not at the lock");
  if (injected->result == word(InjectResult::kLetGo))
    return simple(SweepResult::kNotReached,
                  "the thread that had it could not be kept there until the fork");
  const bool needed = injected->result == word(InjectResult::kNeededByForker);
  if (!needed && injected->result != word(InjectResult::kForced))
    return simple(SweepResult::kNotReached, "no fork happened while another thread had it");
  const std::string protector = protector_of(run, *injected);
  if (protector.empty() && !needed) return simple(SweepResult::kSurvived, "no child waits for it");
  SweepVerdict verdict =
      simple(SweepResult::kProtected, protector.empty() ? "the thread that forks takes it before"
                                                        : "by the at-fork handler " + protector);
  verdict.protector = protector;
  return verdict;
}

SweepCounts counts_of(const SweepTable& table) {
  SweepCounts counts;
  for (const SweepTable::Row& row : table.rows) {
    switch (row.verdict.result) {
      case SweepResult::kDeadlocked:
        ++counts.deadlocked;
        break;
      case SweepResult::kElsewhere:
        ++counts.elsewhere;
        break;
      case SweepResult::kSurvived:
        ++counts.survived;
        break;
      case SweepResult::kProtected:
        ++counts.protected_;
        break;
      case SweepResult::kNotReached:
        ++counts.not_reached;
        break;
      case SweepResult::kFailed:
        ++counts.failed;
        break;
      case SweepResult::kMissing:
        ++counts.missing;
        break;
    }
  }
  return counts;
}

}  // namespace forkscope
