// A forked child that computes without end: does it wait, by looking at memory over and over, for a
// thread that was not copied? Pure functions; thread-safe.
//
// Seen from outside a loop that waits and a loop that works differ in little. What is asked for:
// - all samples but a tenth share their callers down to one function, the one that loops: it may call
//   others, and be there without a name
// - whenever two samples have the same instruction and the same callers, the registers are the same,
//   but for one that may count turns: nothing was computed between them
// - threads that were not copied ran code of that function's component (component.hpp): by their
//   stacks, or by what glibc's descriptors say they were started with. Or nothing changes at all, and
//   neither a thread, nor a handler, nor another process is there that could end it: a lock
// - no other thread of the child runs code of that component, or began in it
// A loop that moves through data is not recognised: silence is better than blaming a program that
// works.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

struct SpinSample {
  std::uint64_t pc = 0, sp = 0;
  /// All that are known to mean something: in a system call those that it keeps.
  std::vector<std::uint64_t> registers;
  std::vector<Frame> stack;  ///< innermost first
};

/// So many are judged at first, and again each time as many have come, up to the most.
constexpr std::size_t kSpinSamples = 10, kMostSpinSamples = 60;
/// Of these so many are needed where nothing is known of lost threads of that code.
constexpr std::size_t kSpinSamplesAlone = 30;

/// Whether it is worth sampling the first thread: it was forked by a process that has threads which
/// were not copied.
bool may_spin_for_lost_thread(const Evidence& evidence);

/// A hazard of certainty "probable", or nothing.
std::optional<Finding> judge_spin(const Evidence& evidence, const std::vector<SpinSample>& samples);

}  // namespace forkscope
