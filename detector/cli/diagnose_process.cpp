#include "detector/cli/diagnose_process.hpp"

#include <poll.h>

#include "detector/cli/watch_spin.hpp"
#include "detector/inspect/rounds.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/symbols/packages.hpp"
#include "detector/verdict/headline.hpp"

namespace forkscope::cli {

DataNamer data_namer(Namer& namer, const ProcessEvidence& process) {
  return [&namer, &process](std::uint64_t address, const std::string& type) {
    LockInfo lock;
    lock.address = address;
    lock.type = type;
    namer.data(lock, process.modules);
    return lock;
  };
}

namespace {

/// A process that runs all the time may wait for a lost thread all the same. Telling takes some
/// dozen short stops.
void look_for_spin(Diagnosis& diagnosis, Namer& namer) {
  auto sampler = SpinSampler::start(diagnosis.pid, namer);
  if (!sampler) return;
  while (sampler->sample()) poll(nullptr, 0, static_cast<int>(kSpinSamplePause.count()));
  auto finding = sampler->finding();
  if (!finding) return;
  diagnosis.answer = Answer::kProbable;
  diagnosis.sentence = "is probably deadlocked by a fork: " + finding->verdict;
  diagnosis.reasons = {finding->explanation};
  diagnosis.finding = std::move(finding);
  diagnosis.finding->fingerprint = fingerprint_of(*diagnosis.finding);
}

}  // namespace

Diagnosis diagnosis_of(const Evidence& evidence, Namer& namer) {
  Diagnosis diagnosis = diagnose(evidence, data_namer(namer, evidence.process));
  if (diagnosis.finding)
    diagnosis.finding->library = first_package_of(library_files(*diagnosis.finding));
  return diagnosis;
}

namespace {

/// Waits with a limit that begin again and again take seconds to tell.
void look_for_rounds(Diagnosis& diagnosis, const Evidence& evidence, Namer& namer) {
  if (diagnosis.finding || !may_go_round(evidence)) return;
  auto sampler = RoundsSampler::start(evidence);
  if (!sampler) return;
  while (sampler->look()) poll(nullptr, 0, static_cast<int>(kRoundsPause.count()));
  const auto seen = sampler->evidence(namer);
  if (!seen) return;
  Diagnosis again = diagnosis_of(*seen, namer);
  if (again.finding || again.answer == Answer::kUnknown) diagnosis = std::move(again);
}

}  // namespace

std::optional<Evidence> observe_suspect(pid_t pid, Namer& namer) {
  auto evidence = observe(pid, {.stacks = false, .relatives = false}, namer);
  if (!evidence || evidence->process.threads.empty()) return std::nullopt;
  const Diagnosis first = diagnosis_of(*evidence, namer);
  const bool clear =
      !first.finding && (first.answer == Answer::kWaiting || first.answer == Answer::kRunning) &&
      !(first.threads.front().for_ever && first.threads.front().lock);
  if (clear) return std::nullopt;
  return observe(pid, {}, namer);
}

bool patience_helps(const Diagnosis& diagnosis, const Evidence& evidence) {
  return diagnosis.answer != Answer::kDeadlock && wants_patience(evidence);
}

std::optional<Diagnosis> diagnose_process(pid_t pid, const ObserveOptions& options, Namer& namer) {
  // A stop makes threads run for an instant: whether they slept is found out before.
  ObserveOptions first = options;
  if (options.stop) first.stop = first.stacks = false;
  auto evidence = observe(pid, first, namer);
  if (!evidence) return std::nullopt;
  Diagnosis diagnosis = diagnosis_of(*evidence, namer);
  if (patience_helps(diagnosis, *evidence)) {
    poll(nullptr, 0, kPatienceMilliseconds);
    look_again(*evidence);
    if (!options.stop) diagnosis = diagnosis_of(*evidence, namer);
  }
  if (options.stop) {
    const bool lasted = evidence->lasted;
    evidence = observe(pid, options, namer);
    if (!evidence) return std::nullopt;
    evidence->lasted = lasted;
    diagnosis = diagnosis_of(*evidence, namer);
    diagnosis.stopped = true;
  }
  look_for_rounds(diagnosis, *evidence, namer);
  if (options.stop && diagnosis.answer == Answer::kRunning) look_for_spin(diagnosis, namer);
  return diagnosis;
}

}  // namespace forkscope::cli
