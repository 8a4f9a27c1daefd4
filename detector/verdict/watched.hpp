// Findings made from outside while the program ran, joined with what the preload library recorded.
// Pure but for the Namer in Context; not thread-safe because that is not.
//
// The library judges first. What it and the command both found is one finding, with the evidence
// of both; what the library could only warn of, and the command then saw happen, is the deadlock.
#pragma once

#include <vector>

#include "detector/verdict/findings.hpp"

namespace forkscope {

/// Whether it says, with certainty, that its process hangs.
bool proves_hang(const WatchedFinding& watched);

/// Gives the children that were seen to hang that outcome. `outcomes` are those of `context`.
void mark_hung_children(std::vector<ChildOutcome>& outcomes, const Context& context,
                        const RunFacts& facts);

/// Adds facts.watched to `candidates`, which are the recorded ones, or to one of them. Notes in
/// `context` which locks need no finding as untouched any more.
void join_watched_findings(std::vector<Candidate>& candidates, Context& context,
                           const RunFacts& facts);

}  // namespace forkscope
