// One measured cycle, and many: the clocks of parent and child, in nanoseconds.
//
// Called in the main thread; `concurrency` threads are its own. Not thread-safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "bench/cost/measure/launch.hpp"
#include "bench/cost/measure/parent_state.hpp"
#include "bench/cost/spec.hpp"

namespace forkscope::cost {

/// Of each clock the samples, in the order in which they were taken.
using Samples = std::map<std::string, std::vector<std::int64_t>>;

/// A case, ready to be measured.
class Measurement {
 public:
  virtual ~Measurement() = default;
  /// Once; returns the nanoseconds from the start to the end. With nullptr nothing is kept.
  virtual std::int64_t run(Samples* samples) = 0;
};

/// Builds the parent. `program` is what children execute. Throws Skip, std::runtime_error.
std::unique_ptr<Measurement> make_measurement(const Spec& spec, const std::string& program);

}  // namespace forkscope::cost
