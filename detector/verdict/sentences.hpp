// Clauses that several kinds of findings share. Internal to verdict/; pure functions.
#pragma once

#include <string>
#include <vector>

#include "detector/verdict/explain.hpp"

namespace forkscope {

/// "thread 4700 called fork()".
std::string fork_clause(const ForkRecord& fork);
/// "when thread 4700 called fork()"; without the fork's record "when process 4712 was forked".
std::string when_forked(const FindingFacts& facts);
/// "thread 4711 (row-reader)", the one that was not copied.
std::string holder_words(const FindingFacts& facts);
/// "thread 1 (a), thread 2 and thread 3", the first few by name.
std::string list_threads(const std::vector<const record::ThreadInfo*>& threads,
                         const std::string& conjunction);
/// "thread 4711 (pool-0) was waiting on semaphore jobs; thread 4712 was running": every thread that
/// was not copied, by what it was at.
std::string what_they_did(const FindingFacts& facts);
/// How the child's call ends, as the rest of a sentence "so ...".
std::string consequence(const FindingFacts& facts);
/// Whether unlocking and locking compare the owner with the caller's thread id.
bool compares_owner(const record::Finding& finding);

// By family of kinds: the clause for the first line and the sentences of `why`.
std::string lock_verdict(const FindingFacts& facts);
std::string lock_explanation(const FindingFacts& facts);
std::string latent_verdict(const FindingFacts& facts);
std::string latent_explanation(const FindingFacts& facts);
std::string wait_verdict(const FindingFacts& facts);
std::string wait_explanation(const FindingFacts& facts);
std::string inherited_verdict(const FindingFacts& facts);
std::string inherited_explanation(const FindingFacts& facts);
std::string handler_verdict(const FindingFacts& facts);
std::string handler_explanation(const FindingFacts& facts);

}  // namespace forkscope
