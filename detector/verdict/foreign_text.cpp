#include "detector/verdict/foreign_text.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostQuoted = 80;
constexpr std::string_view kGap = "...";

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

/// Length of the UTF-8 sequence at the front, 0 when it is none or is not to be printed.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (byte(0) < 0x80) return byte(0) >= 0x20 && byte(0) != 0x7f ? 1 : 0;
  std::size_t length = 0;
  if (byte(0) >= 0xc2 && byte(0) <= 0xdf) length = 2;
  if (byte(0) >= 0xe0 && byte(0) <= 0xef) length = 3;
  if (byte(0) >= 0xf0 && byte(0) <= 0xf4) length = 4;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if (!continues_character(text[i])) return 0;
  if (byte(0) == 0xc2 && byte(1) < 0xa0) return 0;  // C1 controls, which some terminals obey
  if (byte(0) == 0xe0 && byte(1) < 0xa0) return 0;  // overlong
  if (byte(0) == 0xf0 && byte(1) < 0x90) return 0;
  // U+2028-202E, U+2066-2069: line separators and directions, by which a name could hide a part of
  // itself ("Trojan source", CVE-2021-42574).
  if (byte(0) == 0xe2 && byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) return 0;
  if (byte(0) == 0xe2 && byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9) return 0;
  return length;
}

}  // namespace

std::string printable(std::string_view text) {
  std::string clean;
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    if (length == 0) {
      clean += '?';
      text.remove_prefix(1);
    } else {
      clean += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return clean;
}

std::string bounded(std::string_view text, std::size_t most) {
  constexpr std::size_t kBytesOfCharacter = 4;
  // What is cut out is not looked at: an argument may be 128 KiB long.
  if (text.size() > 2 * kBytesOfCharacter * most) {
    const std::size_t half = kBytesOfCharacter * most;
    return bounded(std::string(text.substr(0, half)) + std::string(text.substr(text.size() - half)),
                   most);
  }
  const std::string clean = printable(text);
  std::size_t characters = 0;
  for (char c : clean) characters += !continues_character(c);
  if (characters <= most || most <= kGap.size()) return clean;
  const std::size_t kept = most - kGap.size(), front = kept - kept / 3, end = kept / 3;
  std::string result;
  std::size_t at = 0;
  for (char c : clean) {
    at += !continues_character(c);
    if (at == front + 1 && !continues_character(c)) result += kGap;
    if (at <= front || at > characters - end) result += c;
  }
  return result;
}

std::string in_quotes(std::string_view text) { return "'" + bounded(text, kMostQuoted) + "'"; }

std::string_view without_byte_order_mark(std::string_view text) {
  constexpr std::string_view kMark = "\xef\xbb\xbf";
  if (text.starts_with(kMark)) text.remove_prefix(kMark.size());
  return text;
}

}  // namespace forkscope
