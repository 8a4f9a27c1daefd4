#include "detector/inspect/python/line_table.hpp"

#include <climits>

namespace forkscope::python {
namespace {

constexpr std::int64_t kCodeUnit = 2;  // bytes

int as_line(std::int64_t line) { return line > 0 && line <= INT_MAX ? int(line) : 0; }

/// Objects/lnotab_notes.txt of 3.9: pairs of how far the next line's code is, and how many lines
/// on (signed). An increment applies to code after it.
int by_increments(std::span<const std::byte> table, std::int64_t line, std::int64_t offset) {
  std::int64_t at = 0;
  for (std::size_t i = 0; i + 1 < table.size(); i += 2) {
    at += std::to_integer<std::uint8_t>(table[i]);
    if (at > offset) break;
    line += std::to_integer<std::int8_t>(table[i + 1]);
  }
  return as_line(line);
}

/// Objects/lnotab_notes.txt of 3.10: pairs of the length of a range and the difference of its line
/// to that of the last range that had one; -128 has none.
int by_ranges(std::span<const std::byte> table, std::int64_t line, std::int64_t offset) {
  std::int64_t end = 0;
  for (std::size_t i = 0; i + 1 < table.size(); i += 2) {
    const auto difference = std::to_integer<std::int8_t>(table[i + 1]);
    const bool has_line = difference != -128;
    if (has_line) line += difference;
    end += std::to_integer<std::uint8_t>(table[i]);
    if (offset < end) return has_line ? as_line(line) : 0;
  }
  return 0;
}

/// Six bits a byte, low ones first, 0x40: more follow. Stops at the next entry's first byte.
std::uint64_t variable_length(std::span<const std::byte> table, std::size_t& i) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; i < table.size() && shift < 64; shift += 6) {
    const auto byte = std::to_integer<std::uint8_t>(table[i]);
    if ((byte & 0x80) != 0) break;
    ++i;
    value |= std::uint64_t(byte & 0x3f) << shift;
    if ((byte & 0x40) == 0) break;
  }
  return value;
}

/// The sign is the lowest bit.
std::int64_t signed_variable_length(std::span<const std::byte> table, std::size_t& i) {
  const std::uint64_t value = variable_length(table, i);
  // Far more than a line number has, and no overflow when many are added up.
  const auto size = std::int64_t((value >> 1) & 0xffffffff);
  return (value & 1) != 0 ? -size : size;
}

/// Objects/locations.md of 3.11 (InternalDocs/code_objects.md since 3.14): entries whose first
/// byte alone has its top bit set: a kind of four bits, a length of three; columns follow, which
/// are of no use here.
int by_locations(std::span<const std::byte> table, std::int64_t line, std::int64_t offset) {
  enum : unsigned { kOneLine0 = 10, kOneLine2 = 12, kNoColumns = 13, kLong = 14, kNoLine = 15 };
  std::int64_t end = 0;
  for (std::size_t i = 0; i < table.size();) {
    const auto first = std::to_integer<std::uint8_t>(table[i++]);
    if ((first & 0x80) == 0) continue;
    const unsigned kind = first >> 3 & 15;
    if (kind == kNoColumns || kind == kLong) {
      line += signed_variable_length(table, i);
    } else if (kind >= kOneLine0 && kind <= kOneLine2) {
      line += kind - kOneLine0;
    }
    end += ((first & 7) + 1) * kCodeUnit;
    if (offset < end) return kind == kNoLine ? 0 : as_line(line);
  }
  return 0;
}

}  // namespace

int line_at(LineTableForm form, std::span<const std::byte> table, int first_line,
            std::int64_t offset) {
  if (offset < 0) return as_line(first_line);
  switch (form) {
    case LineTableForm::kIncrements:
      return by_increments(table, first_line, offset);
    case LineTableForm::kRanges:
      return by_ranges(table, first_line, offset);
    case LineTableForm::kLocations:
      return by_locations(table, first_line, offset);
  }
  return 0;
}

}  // namespace forkscope::python
