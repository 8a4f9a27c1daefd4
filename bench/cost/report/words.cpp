#include "bench/cost/report/words.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <utility>

namespace forkscope::cost {
namespace {

std::string formatted(const char* format, double value) {
  std::array<char, 64> text;
  std::snprintf(text.data(), text.size(), format, value);
  return text.data();
}

/// Blanks that `text` needs to be so many columns wide; UTF-8 characters are one each.
std::string blanks(const std::string& text, std::size_t columns) {
  const auto width = std::size_t(std::count_if(text.begin(), text.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
  return std::string(columns > width ? columns - width : 0, ' ');
}

}  // namespace

std::string left_aligned(const std::string& text, std::size_t columns) {
  return text + blanks(text, columns);
}

std::string right_aligned(const std::string& text, std::size_t columns) {
  return blanks(text, columns) + text;
}

std::string number_text(double value) {
  const double size = std::abs(value);
  if (size >= 99.95 || size == 0) return formatted("%.0f", value);
  if (size >= 9.995) return formatted("%.1f", value);
  return formatted(size >= 0.9995 ? "%.2f" : "%.3f", value);
}

std::string time_text(double ns) {
  const double size = std::abs(ns);
  if (size < 999.5) return number_text(ns) + " ns";
  if (size < 999.5e3) return number_text(ns / 1e3) + " µs";
  if (size < 999.5e6) return number_text(ns / 1e6) + " ms";
  return number_text(ns / 1e9) + " s";
}

std::string change_text(double ratio) {
  if (ratio >= 2 || ratio <= 0.5) return "x " + number_text(ratio);
  return formatted("%+.1f %%", (ratio - 1) * 100);
}

std::string bytes_text(double bytes) {
  for (const auto& [name, unit] :
       {std::pair{" GiB", 1073741824.0}, std::pair{" MiB", 1048576.0}, std::pair{" KiB", 1024.0}})
    if (bytes >= unit)
      return (std::fmod(bytes, unit) == 0 ? formatted("%.0f", bytes / unit)
                                          : number_text(bytes / unit)) +
             name;
  return number_text(bytes) + " bytes";
}

std::string clock_words(const std::string& clock) {
  if (clock == "call") return "until the parent may go on";
  if (clock == "first") return "until the child's first instruction";
  if (clock == "main") return "until main() of the child's program";
  if (clock == "ready") return "until the child is ready for work";
  if (clock == "reap") return "until wait() returned";
  if (clock == "stall") return "longest stall of another thread";
  if (clock == "child_write") return "the child writes to copied pages";
  if (clock == "parent_write") return "the parent writes to copied pages";
  if (clock == "child_faults") return "page faults of the child";
  if (clock == "parent_faults") return "page faults of the parent";
  if (clock == "batch") return "all tasks";
  return clock;
}

std::string p_text(double p) { return p < 0.001 ? "< 0.001" : formatted("%.3f", p); }

}  // namespace forkscope::cost
