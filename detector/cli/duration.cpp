#include "detector/cli/duration.hpp"

#include <charconv>

namespace forkscope::cli {
namespace {

/// Seconds of a unit, 0 for an unknown one.
double unit_seconds(std::string_view unit) {
  if (unit.empty() || unit == "s") return 1;
  if (unit == "ms") return 1e-3;
  if (unit == "m") return 60;
  if (unit == "h") return 3600;
  return 0;
}

constexpr double kLongest = 100.0 * 365 * 24 * 3600;  // so that deadlines fit a time_point

}  // namespace

std::optional<std::chrono::nanoseconds> parse_duration(std::string_view text) {
  double value = 0;
  const char* end = text.data() + text.size();
  auto number = std::from_chars(text.data(), end, value, std::chars_format::fixed);
  if (number.ec != std::errc{}) return std::nullopt;
  double seconds = value * unit_seconds({number.ptr, static_cast<std::size_t>(end - number.ptr)});
  // Not `seconds <= 0`: from_chars takes "nan" and "inf", too.
  if (!(seconds >= 1e-9 && seconds <= kLongest)) return std::nullopt;
  return std::chrono::nanoseconds(static_cast<std::int64_t>(seconds * 1e9));
}

}  // namespace forkscope::cli
