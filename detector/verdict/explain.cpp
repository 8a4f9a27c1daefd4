#include "detector/verdict/explain.hpp"

#include <fmt/format.h>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Kind;
using record::Severity;

enum class Family { kLock, kWait, kInherited, kHandler };

Family family_of(Kind kind) {
  switch (kind) {
    case Kind::kOrphanedLock:
    case Kind::kSelfHeldLock:
    case Kind::kStaleOwner:
      return Family::kLock;
    case Kind::kLostThread:
      return Family::kWait;
    case Kind::kLibcLock:
    case Kind::kForkBypass:
    case Kind::kSharedDescriptor:
    case Kind::kMissingMemory:
    case Kind::kUnsafeCall:
      break;
    case Kind::kAtforkHandler:
      return Family::kHandler;
  }
  return Family::kInherited;
}

/// A wait or a lock that was called a deadlock and came back.
bool taken_back(const FindingFacts& facts) {
  return facts.outcome == record::Outcome::kAcquired &&
         facts.record.finding.evidence != record::Evidence::kThreadGone;
}

std::string taken_back_verdict(const FindingFacts& facts, Family family) {
  const std::string lock = lock_words(facts.lock);
  if (family == Family::kWait) {
    return fmt::format("waited on {} for threads that fork did not copy, and was woken", lock);
  }
  return fmt::format("waited for {}, which fork had orphaned, and got it after all", lock);
}

}  // namespace

std::string verdict_of(const FindingFacts& facts) {
  const Family family = family_of(facts.record.finding.kind);
  if (family == Family::kInherited) return inherited_verdict(facts);
  if (family == Family::kHandler) return handler_verdict(facts);
  if (facts.severity == Severity::kLatent) {
    return latent_verdict(facts);
  }
  if (taken_back(facts)) return taken_back_verdict(facts, family);
  return family == Family::kWait ? wait_verdict(facts) : lock_verdict(facts);
}

std::string explanation_of(const FindingFacts& facts) {
  const Family family = family_of(facts.record.finding.kind);
  if (family == Family::kInherited) return inherited_explanation(facts);
  if (family == Family::kHandler) return handler_explanation(facts);
  if (facts.severity == Severity::kLatent) return latent_explanation(facts);
  std::string text = family == Family::kWait ? wait_explanation(facts) : lock_explanation(facts);
  if (taken_back(facts)) {
    text +=
        " The call came back after all, so this was no deadlock: something outside what forkscope "
        "sees let it go on.";
  } else if (facts.outcome == record::Outcome::kBroken) {
    text +=
        " --on-deadlock=break let the call through without the lock: what the child did afterwards "
        "proves nothing.";
  }
  return text;
}

std::string verdict_of(const OrphanFacts& facts) {
  return fmt::format("was forked while another thread {} {}",
                     facts.held.type == record::LockType::kStaticGuard ||
                             facts.held.type == record::LockType::kOnce
                         ? "was inside"
                         : "held",
                     lock_words(facts.lock));
}

std::string explanation_of(const OrphanFacts& facts) {
  const std::string holder = capitalised(thread_words(facts.held.owner, facts.holder_name));
  const std::string when = fork_clause(facts.fork);
  const std::int32_t pid = facts.fork.fork.child;
  std::string text;
  if (facts.holder_exited) {
    text = fmt::format("{} took it and had ended without unlocking it when {}.", holder, when);
  } else if (facts.held.flags & record::kLockInTransit) {
    text = fmt::format("{} was just taking or releasing it when {}.", holder, when);
  } else {
    const std::string mode = mode_word(facts.held.type, facts.held.flags);
    text =
        fmt::format("{} held it{} when {}.", holder,
                    mode.empty() ? "" : (mode == "read" ? " for reading" : " for writing"), when);
  }
  switch (facts.child_end) {
    case ChildEnd::kExit:
    case ChildEnd::kSignal:
      return text + fmt::format(" Process {} ended without waiting for it.", pid);
    case ChildEnd::kUnknown:
    case ChildEnd::kExec:
    case ChildEnd::kRunning:
    case ChildEnd::kDeadlock:
      break;
  }
  return text +
         fmt::format(" Process {} has not waited for it so far; if it does, it waits for ever.",
                     pid);
}

}  // namespace forkscope
