#include "detector/verdict/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr const char* kNotReached = "not-reached";
constexpr const char* kNeededByForker = "needed-by-forker";

/// "f (libfoo.so)" of the function that a handler is.
std::string handler_words(const std::optional<Frame>& function) {
  if (!function) return "an at-fork handler";
  const std::string module = module_name(function->module);
  return function->function.empty() ? fmt::format("{}+{:#x}", module, function->offset)
                                    : fmt::format("{} ({})", function->function, module);
}

bool has(const std::vector<LockInfo>& locks, const LockInfo& lock) {
  return std::any_of(locks.begin(), locks.end(), [&](const LockInfo& one) {
    return one.address != 0 && one.address == lock.address;
  });
}

/// Who takes the lock before the copy, or makes it good in the child.
std::string protector_of(const Report& run, const SweepInjection& injection) {
  for (const ForkReport& fork : run.forks) {
    if (fork.pid != injection.pid || !fork.handlers) continue;
    for (const HandlerReport& handler : *fork.handlers) {
      if (handler.prepare && has(handler.prepare->taken, injection.lock))
        return handler_words(handler.prepare->function);
      if (handler.child && has(handler.child->released, injection.lock))
        return handler_words(handler.child->function);
    }
  }
  return "";
}

bool is_about(const Finding& finding, const SweepInjection& injection) {
  if (!injection.function.empty()) return finding.kind == "libc-lock";
  return finding.lock.address != 0 && finding.lock.address == injection.lock.address;
}

struct Deadlocks {
  const Finding* at_lock = nullptr;
  const Finding* elsewhere = nullptr;
};
Deadlocks deadlocks_of(const Report& run, const std::optional<SweepInjection>& injection) {
  Deadlocks found;
  for (const Finding& finding : run.findings) {
    if (finding.severity != "deadlock") continue;
    const Finding*& place =
        injection && is_about(finding, *injection) ? found.at_lock : found.elsewhere;
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

std::string injected_words(const SweepInjection& injection) {
  if (!injection.function.empty()) return injection.function + "()";
  Finding finding;
  finding.lock = injection.lock;
  return site_words(finding);
}

SweepEnd end_of(const Report& report) { return {report.exit, report.signal, report.timed_out}; }

SweepVerdict sweep_verdict(const Report& run, const std::optional<SweepInjection>& injection,
                           const std::optional<SweepEnd>& learned) {
  const Deadlocks found = deadlocks_of(run, injection);
  if (found.at_lock != nullptr) return decided_by(*found.at_lock, SweepResult::kDeadlocked);
  if (found.elsewhere != nullptr) return decided_by(*found.elsewhere, SweepResult::kElsewhere);
  const SweepEnd end = end_of(run);
  if (end.timed_out || (learned && !same(end, *learned)))
    return simple(SweepResult::kFailed,
                  fmt::format("the program {}, and no deadlock was found", end_words(end)));
  if (!injection || injection->result == kNotReached)
    return simple(SweepResult::kNotReached, "no fork happened while another thread had it");
  SweepVerdict verdict;
  verdict.protector = protector_of(run, *injection);
  if (!verdict.protector.empty()) {
    verdict.result = SweepResult::kProtected;
    verdict.detail = "by the at-fork handler " + verdict.protector;
  } else if (injection->result == kNeededByForker) {
    verdict.result = SweepResult::kProtected;
    verdict.detail = "the thread that forks takes it before";
  } else {
    verdict.result = SweepResult::kSurvived;
    verdict.detail = "no child waits for it";
  }
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
