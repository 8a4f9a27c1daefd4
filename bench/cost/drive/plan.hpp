// Which cases a run measures, and how long each. Pure functions; thread-safe.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/cost/drive/limits.hpp"
#include "bench/cost/spec.hpp"

namespace forkscope::cost {

struct Planned {
  Spec spec;
  double budget = 0;  ///< seconds of a round
  std::string skip;   ///< why not; empty if it is measured
};

struct PlanOptions {
  bool full = false;
  int processors = 1;
  std::uint64_t most_memory = UINT64_MAX;  ///< of a parent
  std::vector<std::string> imports;        ///< modules that the Python found can import
  bool python = false;                     ///< there is one
};

std::vector<Planned> make_plan(const PlanOptions& options, const Limits& limits);

/// The order of a round: first as planned, then every round another; the same in every run.
std::vector<std::size_t> round_order(std::size_t cases, int round);

/// Seconds that a case takes beyond its budget: to start, and to build its parent.
double overhead_seconds(const Spec& spec);

}  // namespace forkscope::cost
