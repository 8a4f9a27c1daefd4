// What the machine allows: looked up before anything is measured, so that a point that does not fit
// is skipped with a word and not crashed into.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/cost/spec.hpp"

namespace forkscope::cost {

/// A number and what sets it: "RLIMIT_NPROC", "the cgroup".
struct Limit {
  std::uint64_t value = UINT64_MAX;
  std::string name;
};

struct Limits {
  Limit memory;       ///< bytes that may still be used
  Limit processes;    ///< further processes and threads
  Limit descriptors;  ///< of one process
  Limit mappings;     ///< of one process
  Limit stack;        ///< bytes; arguments and environment may have a quarter
};

/// Reads /proc, /sys/fs/cgroup and resource limits; not thread-safe (environment of the process).
Limits look_up_limits();

/// Settings that the numbers depend on, as name and value, for the head of a report. Reads the
/// same.
std::vector<std::pair<std::string, std::string>> machine_settings();

/// Why the case cannot be measured within these limits; empty if it can. Pure.
std::optional<std::string> exceeds(const Spec& spec, const Limits& limits);

/// The parents to measure: 1 MiB, then four times as much each, up to `most`. Pure.
std::vector<std::uint64_t> parent_sizes(std::uint64_t most);

}  // namespace forkscope::cost
