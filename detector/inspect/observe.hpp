// Takes the evidence on a process from outside: itself, those it was copied from, stacks, names, the
// memory its threads wait on. By default nothing is stopped. Not thread-safe.
#pragma once

#include <sys/types.h>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct ObserveOptions {
  /// Whether the threads may be stopped for an instant each, for stacks that are complete.
  bool stop = false;
  /// Whether stacks are taken and named at all. Without them it is cheap enough for every process
  /// of a host.
  bool stacks = true;
  /// Whether the processes it is a copy of are looked at, and whoever might share its memory.
  /// Without them no verdict is possible, but most processes can be cleared.
  bool relatives = true;
};

/// Whether a longer look could tell more: a thread of a forked process waits for ever in a futex,
/// and others live.
bool wants_patience(const Evidence& evidence);

/// Looks again, and sets `lasted` when no thread that slept then has run since. Call it a third of a
/// second after observe().
void look_again(Evidence& evidence);
constexpr int kPatienceMilliseconds = 350;

/// Nothing when there is no such process, or it ended before it was looked at.
std::optional<Evidence> observe(pid_t pid, const ObserveOptions& options, Namer& namer);

/// Of a process that was dumped. `exe` is where its program is, if that is not where it was; may be
/// empty. Throws std::runtime_error with a sentence.
Evidence observe_core(const std::string& path, const std::string& exe, Namer& namer);

}  // namespace forkscope
