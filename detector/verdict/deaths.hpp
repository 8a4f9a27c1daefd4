// Children that die of the fork rather than hang. Pure functions; thread-safe.
//
// The signal handler of a fault writes its finding when the signal is certain. For calls that
// usually come back (joining a thread that was not copied, dlopen in a half-changed loader) the
// finding says that they began; that the process never came out of them is known only later, from
// how it ended.
#pragma once

#include <optional>
#include <string>

#include "detector/verdict/outcomes.hpp"

namespace forkscope {

struct Death {
  std::string words;        ///< a predicate: "was ended by SIGSEGV"
  std::string short_words;  ///< "SIGSEGV", "exit status 127"
};

/// Whether the process of a finding died of it. `child` is what became of that process, null when
/// that is not known; `outcome` the finding's own end.
std::optional<Death> death_of(const record::Finding& finding,
                              const std::optional<record::Outcome>& outcome,
                              const ChildOutcome* child);

}  // namespace forkscope
