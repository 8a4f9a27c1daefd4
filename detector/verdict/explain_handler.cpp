// at-fork handlers that wait for a lock which a living thread of the same process has.
#include <fmt/format.h>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Evidence;

/// A handler that takes what the forking thread has already.
bool waits_for_itself(const FindingFacts& facts) {
  return facts.record.finding.holder_tid == facts.record.meta.tid;
}

std::string handler_clause(const FindingFacts& facts) {
  return facts.record.finding.in_handler
             ? "its " + phase_word(facts.record.finding.handler_phase) + " handler"
             : "an at-fork handler";
}

}  // namespace

std::string handler_verdict(const FindingFacts& facts) {
  const std::string lock = lock_words(facts.lock);
  if (facts.record.finding.evidence != Evidence::kLockCycle ||
      facts.outcome == record::Outcome::kAcquired) {
    return fmt::format("waited inside fork() for more than a second: {} takes {}, held by {}",
                       handler_clause(facts), lock, holder_words(facts));
  }
  if (waits_for_itself(facts)) {
    return fmt::format("waits for ever inside fork(): {} takes {}, which the forking thread has",
                       handler_clause(facts), lock);
  }
  return fmt::format(
      "waits for ever inside fork(): {} takes {}, held by {}, which waits for the "
      "forking thread",
      handler_clause(facts), lock, holder_words(facts));
}

std::string handler_explanation(const FindingFacts& facts) {
  const std::string holder = capitalised(holder_words(facts));
  if (facts.record.finding.evidence != Evidence::kLockCycle) {
    const char* end = facts.outcome == record::Outcome::kAcquired
                          ? "It was given up in the end."
                          : "It was not given up while the process was watched.";
    return fmt::format(
        "{} held the lock, and the fork waits until it is given up. {} All that time the locks "
        "that other handlers have taken already are kept from everybody.",
        holder, end);
  }
  if (waits_for_itself(facts)) {
    return "The forking thread has taken this lock before, itself or in another handler, and "
           "nobody else can release it: it waits for itself. Handlers that were registered twice "
           "are the usual reason.";
  }
  return fmt::format(
      "{} holds the lock and sleeps without a time limit in the call that takes another one, and "
      "so on, up to one that the forking thread holds: each in the ring waits for the next. They "
      "take the same locks in different orders.",
      holder);
}

}  // namespace forkscope
