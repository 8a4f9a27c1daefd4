// From a PID to its diagnosis: evidence, a second look where it helps, the verdict.
// Not thread-safe.
#pragma once

#include <sys/types.h>

#include <optional>

#include "detector/inspect/observe.hpp"
#include "detector/verdict/outside/diagnosis.hpp"

namespace forkscope::cli {

/// Names lock addresses of the process the evidence is of; both must outlive the result.
DataNamer data_namer(Namer& namer, const ProcessEvidence& process);

/// A whole look, with stacks and names, only at what a cheap one does not clear: most forked
/// processes wait for something outside, and their idle threads for them. Nothing: it is cleared.
std::optional<Evidence> observe_suspect(pid_t pid, Namer& namer);

Diagnosis diagnosis_of(const Evidence& evidence, Namer& namer);

/// Whether a longer look could prove what this one, which gave the diagnosis, does not.
bool patience_helps(const Diagnosis& diagnosis, const Evidence& evidence);

/// Nothing when there is no such process. Takes a third of a second longer for forked processes
/// with several threads that wait: a wait that may last is told from one that does.
std::optional<Diagnosis> diagnose_process(pid_t pid, const ObserveOptions& options, Namer& namer);

}  // namespace forkscope::cli
