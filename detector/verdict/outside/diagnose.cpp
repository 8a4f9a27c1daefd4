// From evidence to a diagnosis: asks the rules (rules.hpp), and has the answer put into words.
#include <algorithm>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/outside/rules.hpp"

namespace forkscope {
namespace {

Ruling rule(const Scene& scene) {
  for (const rules::Rule ask : rules::kInOrder)
    if (auto ruling = ask(scene)) return *std::move(ruling);
  return {};
}

void describe(Diagnosis& result, const Scene& scene, const DataNamer& name) {
  const Evidence& evidence = scene.evidence;
  const ProcessEvidence& process = scene.process;
  result.pid = process.pid;
  result.program = program_name(process);
  result.command = process.command;
  result.missing = process.missing;
  result.parent = process.parent;
  result.from_core = process.from_core;
  if (evidence.now > process.start)
    result.age_seconds =
        double(evidence.now - process.start) / double(evidence.clock_ticks_per_second);
  result.forked = process.forked;
  if (!evidence.ancestors.empty()) result.forked_by = evidence.ancestors.front().pid;
  for (const ThreadView& view : scene.views)
    result.threads.push_back(thread_diagnosis(view, name));
}

/// Those whose code waits here come first: they are the ones a reader looks for.
std::vector<const ThreadEvidence*> in_order_of_interest(const Scene& scene, const Ruling& ruling) {
  std::vector<const ThreadEvidence*> lost = scene.lost;
  if (ruling.culprit == nullptr) return lost;
  const Frame* frame = innermost_program_frame(ruling.culprit->thread->stack);
  if (frame == nullptr) return lost;
  std::stable_partition(lost.begin(), lost.end(), [&](const ThreadEvidence* thread) {
    return runs_code_of(*thread, frame->module);
  });
  return lost;
}

}  // namespace

Diagnosis diagnose(const Evidence& evidence, const DataNamer& name) {
  const Scene scene(evidence);
  const Ruling ruling = rule(scene);
  const auto lost = in_order_of_interest(scene, ruling);
  Diagnosis result;
  describe(result, scene, name);
  for (const ThreadEvidence* thread : lost) result.lost.push_back(lost_report(*thread, scene.process.abi));
  result.answer = ruling.answer;
  result.readable = ruling.readable;
  const OutsideFacts facts{evidence,
                           scene.views,
                           lost,
                           ruling.missed,
                           ruling.culprit,
                           ruling.kind,
                           ruling.ground,
                           scene.closed,
                           ruling.signal_handlers,
                           ruling.nobody_known,
                           ruling.unknown_to_lost,
                           ruling.unclear};
  result.sentence = outside_sentence(result, facts);
  result.reasons = outside_reasons(result, facts);
  if (result.answer == Answer::kDeadlock || result.answer == Answer::kProbable) {
    result.finding = outside_finding(result, facts);
    result.finding->fingerprint = fingerprint_of(*result.finding);
  }
  return result;
}

}  // namespace forkscope
