// Latent deadlocks: this run went well, and why another need not.
#include <fmt/format.h>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {

namespace {

bool is_initialisation(const FindingFacts& facts) {
  return facts.record.finding.lock_type == record::LockType::kStaticGuard;
}

std::string initialisation_explanation(const FindingFacts& facts) {
  return fmt::format(
      "{} lived {} and initialises it, too, later in the parent. The child did it for itself, as "
      "nobody had begun when it was forked. A fork in the middle of it leaves the child with an "
      "initialisation that is in progress for ever, and this call waits for its end.",
      capitalised(holder_words(facts)),
      facts.fork != nullptr ? "when " + fork_clause(*facts.fork) : "at the fork");
}

}  // namespace

std::string latent_verdict(const FindingFacts& facts) {
  if (is_initialisation(facts))
    return fmt::format("did {}, and so does {} in the parent: forked in the middle of it, it waits "
                       "for ever",
                       lock_words(facts.lock), holder_words(facts));
  return fmt::format("took {}, which {} takes in the parent: forked at the wrong moment, it waits "
                     "for ever",
                     lock_words(facts.lock), holder_words(facts));
}

std::string latent_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  if (is_initialisation(facts)) return initialisation_explanation(facts);
  std::string often = f.holder_uses == 1 ? "once" : fmt::format("{} times", f.holder_uses);
  const std::string before_fork =
      "before " + (facts.fork != nullptr
                       ? fork_clause(*facts.fork)
                       : fmt::format("process {} was forked", facts.record.meta.pid));
  std::string share;
  if (f.held_share != record::kUnknownShare)
    share = fmt::format(", and had it {} of the time", share_words(f.held_share));
  return fmt::format(
      "{} took it {} {}{}. It did not have it at that moment, so this run went well. A "
      "forked child has only the thread that called fork: a fork while the lock is held leaves it "
      "locked for ever, and this call waits for ever. No at-fork handler was seen to take the lock "
      "before the fork, or to unlock or initialise it in the child before this call.",
      capitalised(holder_words(facts)), often, before_fork, share);
}

}  // namespace forkscope
