// Of waits with a limit, naps and spins: where they are, what they rest on, and why it cannot be told
// whether they end; in sentences.
#include <fmt/format.h>

#include <algorithm>

#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/outside/pauses.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

const WaitingLoop* loop_of_culprit(const OutsideFacts& facts) {
  return rules::waiting_loop_of(facts.evidence, *facts.culprit);
}

std::string part_of_program(const OutsideFacts& facts) {
  const auto component = waiting_component(facts.culprit->thread->stack);
  return component && component->module != facts.evidence.process.exe ? " in " + component->words()
                                                                      : "";
}

std::string why_unclear(const OutsideFacts& facts) {
  switch (facts.unclear) {
    case Unclear::kNone:
      break;
    case Unclear::kOneInstant:
      return "threads that might have ended that were not copied; a core file shows one instant, "
             "which does not tell whether it goes round without end";
    case Unclear::kEvent:
      return "again and again, and no thread is left that could set the event; programs that wait for "
             "a signal to end them sleep so, too";
    case Unclear::kDescriptors:
      return "a core file does not tell what its descriptors lead to, and threads that might have "
             "written to them were not copied";
    case Unclear::kOwnWriter:
      return "what it waits for is written by threads of the process itself, and threads of it were "
             "not copied";
    case Unclear::kUnserved:
      return facts.evidence.wait_links.empty()
                 ? "none of the threads that are alive is seen to know of that, and which ones lived when "
                   "it was forked is not known"
                 : "threads that were not copied knew of that, and none of those that are alive is seen "
                   "to";
  }
  return {};
}

}  // namespace

std::string unclear_sentence(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  const ThreadDiagnosis& thread =
      diagnosis.threads[std::size_t(facts.culprit - facts.views.data())];
  return fmt::format("cannot be judged: {} {}{}; {}", thread_words(thread.tid, thread.name),
                     thread.does, part_of_program(facts), why_unclear(facts));
}

/// Where a thread naps or spins: the function of its loop, if that is known.
std::string place_of_pause(const OutsideFacts& facts) {
  const Frame* frame = innermost_program_frame(facts.culprit->thread->stack);
  for (const WaitingLoop& loop : facts.evidence.waiting_loops)
    if (loop.tid == facts.culprit->thread->tid && !loop.function.function.empty())
      frame = &loop.function;
  if (frame == nullptr) return "code that is not known";
  return frame->function.empty() ? "code of " + base_name(frame->module) + " without a name"
                                 : frame->function;
}

/// "It was looked at for 2 seconds: it slept at one place, woke up 40 times, and each time slept on."
std::string rounds_sentence(const Evidence& evidence, const ThreadView& view) {
  std::uint64_t turns = 0;
  for (const Rounds& rounds : evidence.rounds)
    if (rounds.tid == view.thread->tid) turns = rounds.turns;
  return fmt::format(
      "It was looked at for {:.1f} seconds: it woke up {} times and each time went on to wait at the "
      "same place{}, and used no descriptor. It is not certain because each of these waits has a "
      "limit, and what the program makes of that cannot be seen.",
      double(evidence.rounds_ms) / 1000, turns,
      view.wait.futex && !has_python(evidence.process) ? ", on the same word with the same value"
                                                       : "");
}

std::vector<std::string> instant_reasons(const OutsideFacts& facts) {
  std::vector<std::string> reasons;
  if (const WaitingLoop* loop = loop_of_culprit(facts)) {
    reasons.push_back(
        loop->only_pause
            ? "It was met at an instruction that programs run between two looks at a word, until "
              "another thread changes it."
            : "The code of the loop it is in does nothing but look at memory and pause: it goes round "
        "until another thread changes that memory.");
    if (loop->known_to_lost)
      reasons.push_back("What it looks at is what threads work on that were not copied.");
  }
  if (facts.views.size() == 1)
    reasons.push_back("No other thread is there that could end that.");
  reasons.push_back(
      "It is not certain because a core file shows one instant: what the program does when such a "
      "wait is over, and whether it has signal handlers that end it, cannot be seen.");
  return reasons;
}

}  // namespace forkscope
