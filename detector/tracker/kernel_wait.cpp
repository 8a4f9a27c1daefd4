#include "detector/tracker/kernel_wait.hpp"

#include <linux/futex.h>

#include <cstring>

#include "detector/tracker/sys.hpp"

namespace forkscope {

namespace {

/// The next number of "202 0x7ffd... 0x80 0x2 0x0 ...", decimal or with 0x.
bool next_number(const char*& text, std::uint64_t& value) {
  while (*text == ' ') ++text;
  const bool hex = text[0] == '0' && text[1] == 'x';
  if (hex) text += 2;
  const char* begin = text;
  value = 0;
  for (;; ++text) {
    std::uint64_t digit = 16;
    if (*text >= '0' && *text <= '9') digit = std::uint64_t(*text - '0');
    if (hex && *text >= 'a' && *text <= 'f') digit = std::uint64_t(*text - 'a') + 10;
    if (digit == 16) return text != begin;
    value = value * (hex ? 16 : 10) + digit;
  }
}

}  // namespace

bool KernelWait::is_futex_for_ever() const {
  const std::uint64_t command = arguments[1] & std::uint64_t(FUTEX_CMD_MASK);
  return number == SYS_futex && (command == FUTEX_WAIT || command == FUTEX_WAIT_BITSET) &&
         arguments[3] == 0;
}

bool read_kernel_wait(const char* folder, std::int32_t id, KernelWait& wait) {
  char path[48];
  std::strcpy(sys::put_number(stpcpy(path, folder), std::uint32_t(id)), "/syscall");
  const long file = sys::openat(path, O_RDONLY);
  if (file < 0) return false;
  char text[256];
  const long size = sys::pread(int(file), text, sizeof text - 1, 0);
  sys::close(int(file));
  if (size <= 0) return false;
  text[size] = '\0';  // "running", "-1 ..." have no number here
  const char* at = text;
  if (!next_number(at, wait.number)) return false;
  for (std::uint64_t& argument : wait.arguments)
    if (!next_number(at, argument)) return false;
  return next_number(at, wait.sp) && next_number(at, wait.pc);
}

}  // namespace forkscope
