// The lines about what was not printed on purpose: suppressed and known findings. Pure function;
// thread-safe.
#pragma once

#include <string>

#include "detector/report/print.hpp"

namespace forkscope {

/// One line for each of --suppressions and --baseline, more with options.verbose; empty without
/// them.
std::string noise_text(const Report& report, const TextOptions& options);

/// Of --suppressions alone, where there is no Report: `forkscope scan`.
std::string suppression_text(const std::vector<RuleUse>& rules, std::uint64_t findings,
                             const TextOptions& options);

}  // namespace forkscope
