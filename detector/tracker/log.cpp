#include "detector/tracker/log.hpp"

#include <link.h>
#include <poll.h>
#include <signal.h>
#include <sys/stat.h>

#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"

namespace forkscope {

LogText& LogText::text(const char* words) {
  for (; *words != '\0'; ++words) add(*words);
  return *this;
}

namespace {

/// What steers a terminal has no place in a name.
char shown(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c; }

}  // namespace

LogText& LogText::name(const char* words) {
  for (; *words != '\0'; ++words) add(shown(*words));
  return *this;
}

LogText& LogText::number(std::int64_t value) {
  char digits[24];
  int count = 0;
  bool negative = value < 0;
  auto rest = negative ? 0 - std::uint64_t(value) : std::uint64_t(value);
  do digits[count++] = char('0' + rest % 10);
  while ((rest /= 10) != 0);
  if (negative) add('-');
  while (count > 0) add(digits[--count]);
  return *this;
}

LogText& LogText::hex(std::uint64_t value) {
  text("0x");
  int shift = 60;
  while (shift > 0 && ((value >> shift) & 15) == 0) shift -= 4;
  for (; shift >= 0; shift -= 4) add("0123456789abcdef"[(value >> shift) & 15]);
  return *this;
}

LogText& LogText::place(std::uint64_t address) {
  dl_find_object found{};
  if (_dl_find_object(reinterpret_cast<void*>(address), &found) != 0) return hex(address);
  const char* path = found.dlfo_link_map->l_name;
  name(path != nullptr && path[0] != '\0' ? path : "the program").text("+");
  return hex(address - found.dlfo_link_map->l_addr);
}

void LogText::write() const {
  if (!process.options.log_stderr) return;
  struct stat info {};
  if (sys::call(SYS_fstat, 2, sys::arg(&info)) < 0 || info.st_dev != process.stderr_device ||
      info.st_ino != process.stderr_inode)
    return;
  // Neither wait for a reader nor die of one that is gone.
  pollfd ready{2, POLLOUT, 0};
  timespec at_once{};
  if (sys::call(SYS_ppoll, sys::arg(&ready), 1, sys::arg(&at_once), 0, 8) != 1) return;
  std::uint64_t pipe = std::uint64_t{1} << (SIGPIPE - 1), before = 0;
  sys::call(SYS_rt_sigprocmask, SIG_BLOCK, sys::arg(&pipe), sys::arg(&before), 8);
  if (sys::write(2, text_, size_) == -EPIPE && (before & pipe) == 0)
    sys::call(SYS_rt_sigtimedwait, sys::arg(&pipe), 0, sys::arg(&at_once), 8);
  sys::call(SYS_rt_sigprocmask, SIG_SETMASK, sys::arg(&before), 0, 8);
}

void die(int status, const char* words, const char* more) {
  char line[800];
  std::size_t size = 0;
  for (const char* part : {"forkscope: ", words, more})
    for (; *part != '\0' && size + 1 < sizeof line; ++part) line[size++] = shown(*part);
  line[size++] = '\n';
  sys::write(2, line, size);
  sys::call(SYS_exit_group, status);
  __builtin_unreachable();
}

}  // namespace forkscope
