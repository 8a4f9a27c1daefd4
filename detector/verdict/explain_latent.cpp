// Latent deadlocks: this run went well, and why another need not.
#include <fmt/format.h>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {

std::string latent_verdict(const FindingFacts& facts) {
  return fmt::format("took {}, which {} takes in the parent: forked at the wrong moment, it waits "
                     "for ever",
                     lock_words(facts.lock), holder_words(facts));
}

std::string latent_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
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
      "locked for ever, and this call waits for ever. No at-fork handler took the lock before the "
      "fork or made it anew in the child before this call.",
      capitalised(holder_words(facts)), often, before_fork, share);
}

}  // namespace forkscope
