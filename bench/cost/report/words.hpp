// Numbers and names as people read them. Pure functions; thread-safe.
#pragma once

#include <cstddef>
#include <string>

namespace forkscope::cost {

/// "52.3 µs", "1.90 ms": three digits. Of nanoseconds.
std::string time_text(double ns);
/// "x 1.23" of a ratio, "+4.2 %" of a small one.
std::string change_text(double ratio);
/// "1.50 GiB", "8 GiB": of any number of bytes.
std::string bytes_text(double bytes);
/// What a clock measures, in words: "until the parent may go on".
std::string clock_words(const std::string& clock);
/// "< 0.001" or "0.042".
std::string p_text(double p);
/// Three significant digits without an exponent.
std::string number_text(double value);

/// With blanks up to so many columns.
std::string left_aligned(const std::string& text, std::size_t columns);
std::string right_aligned(const std::string& text, std::size_t columns);

}  // namespace forkscope::cost
