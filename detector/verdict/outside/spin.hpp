// A forked child that computes without end: does it wait, by looking at memory over and over, for a
// thread that was not copied? Pure functions; thread-safe.
//
// Seen from outside a loop that waits and a loop that works differ in little. What is asked for:
// every sample lies in one function, called from one place; whenever two samples lie at the same
// instruction, every register is the same, so nothing was computed between them; and threads that
// were not copied run code of that function's component (component.hpp). A loop that counts its
// turns in a register is not recognised: silence is better than blaming a program that works.
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

constexpr std::size_t kSpinSamples = 10;

/// Whether it is worth sampling the first thread: it was forked by a process that has threads which
/// were not copied.
bool may_spin_for_lost_thread(const Evidence& evidence);

/// A hazard of certainty "probable", or nothing.
std::optional<Finding> judge_spin(const Evidence& evidence, const std::vector<SpinSample>& samples);

}  // namespace forkscope
