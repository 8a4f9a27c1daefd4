// Text on standard error, for use without the command. Async-signal-safe: formats on the stack and
// writes once.
#pragma once

#include <cstddef>
#include <cstdint>

namespace forkscope {

/// One line or a few, built on the stack; what does not fit is cut off.
class LogText {
 public:
  LogText& text(const char* words);
  /// A text of the program's: a path. Control characters become '?'.
  LogText& name(const char* words);
  LogText& number(std::int64_t value);
  LogText& hex(std::uint64_t value);
  /// "  module+0x12ab" of a code address, or the address where no object holds it.
  LogText& place(std::uint64_t address);
  /// Writes to descriptor 2, if that still is what it was when the process started (a daemon may
  /// have put a socket there) and log=stderr.
  void write() const;

 private:
  void add(char c) {
    if (size_ + 1 < sizeof text_) text_[size_++] = c;
  }
  char text_[4096] = {};
  std::size_t size_ = 0;
};

/// Writes "forkscope: " and the words as one line to descriptor 2 and ends the process.
[[noreturn]] void die(int status, const char* words, const char* more);

}  // namespace forkscope
