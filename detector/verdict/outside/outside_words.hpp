// The sentences of a diagnosis, and the finding it makes. Pure functions; internal to verdict/.
#pragma once

#include <string>
#include <vector>

#include "detector/record/record.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/scene.hpp"

namespace forkscope {

/// What the sentences are made of, beside the answer.
struct OutsideFacts {
  const Evidence& evidence;
  const std::vector<ThreadView>& views;
  const std::vector<const ThreadEvidence*>& lost;
  const std::vector<const ThreadEvidence*>& missed;  ///< those that nobody here replaces
  const ThreadView* culprit;                         ///< the thread the answer is about, or null
  record::Kind kind;
  Ground ground;
  bool closed;            ///< every thread sleeps until another of them wakes it
  bool signal_handlers;   ///< a handler of the program's own might wake it
  bool nobody_known;      ///< which threads lived at the fork cannot be known any more
  bool unknown_to_lost;   ///< no thread that was not copied is seen to know of the wait
  Unclear unclear;        ///< why it cannot be told
};

std::string program_name(const ProcessEvidence& process);
ThreadDiagnosis thread_diagnosis(const ThreadView& view, const DataNamer& name);
ThreadReport lost_report(const ThreadEvidence& thread, Abi abi);

/// Of an answer with `facts.unclear`: the sentence, and what else to say.
std::string unclear_sentence(const Diagnosis& diagnosis, const OutsideFacts& facts);
/// Where a thread naps or spins.
std::string place_of_pause(const OutsideFacts& facts);
/// What a probable answer from many looks rests on.
std::string rounds_sentence(const Evidence& evidence, const ThreadView& view);
/// What a probable answer from one instant rests on.
std::vector<std::string> instant_reasons(const OutsideFacts& facts);

std::string outside_sentence(const Diagnosis& diagnosis, const OutsideFacts& facts);
std::vector<std::string> outside_reasons(const Diagnosis& diagnosis, const OutsideFacts& facts);
Finding outside_finding(const Diagnosis& diagnosis, const OutsideFacts& facts);

/// "deadlock", "probable", ...: words of the JSON report.
std::string answer_word(Answer answer);
std::string where_word(LockOwner::Where where);
std::string family_word(LockFamily family);
std::string confidence_word(Confidence confidence);

}  // namespace forkscope
