// Children that hang alike: what was proved of one holds for its copies. A pool of a hundred
// children that one mistake hangs is looked at as a whole once. Reads /proc and memory;
// thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "detector/cli/processes.hpp"

namespace forkscope::cli {

/// Equal for children of one process, with one thread each and memory of their own, which are
/// blocked for ever at the same instruction with the same stack pointer, on the same address with
/// the same bytes there, and have handlers for the same signals.
using SiblingKey = std::vector<std::uint64_t>;

/// Nothing for a process that is not blocked like that, or where one of those is not known.
std::optional<SiblingKey> sibling_key(const Process& process);

}  // namespace forkscope::cli
