// Durations as people write them on a command line. Pure; thread-safe.
#pragma once

#include <chrono>
#include <optional>
#include <string_view>

namespace forkscope::cli {

/// "10", "1.5s", "500ms", "2m", "1h": a positive decimal number of seconds unless a unit follows.
/// Nothing for anything else, for zero, and for more than a hundred years.
std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text);

}  // namespace forkscope::cli
