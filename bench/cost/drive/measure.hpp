// Runs the measuring program, one process for one case, and reads its samples.
//
// Not thread-safe: processes are forked, and a signal handler for SIGINT and SIGTERM ends a wait.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "bench/cost/spec.hpp"
#include "bench/ratios/execute.hpp"

namespace forkscope::cost {

struct Programs {
  std::string folder;  ///< of cost_bench and python_start.py
  std::string python;  ///< empty: none
};

struct Outcome {
  std::map<std::string, std::vector<double>> samples;  ///< by clock, nanoseconds
  std::string skip;                                    ///< why there are none
};

using bench::Interrupted;

/// Throws Interrupted, and std::runtime_error when the program failed or hung.
Outcome measure_case(const Programs& programs, const Spec& spec, double budget);

/// bench::execute(). `pinned`: on the last two processors only.
bench::Finished run_program(std::vector<std::string> arguments, double timeout, bool pinned,
                            const std::vector<std::string>& more_environment = {});

/// From now on SIGINT and SIGTERM end a wait.
void make_interruptible();

/// Samples as the measuring programs write them. Throws std::runtime_error. Pure.
std::map<std::string, std::vector<double>> parse_samples(const std::string& text);

}  // namespace forkscope::cost
