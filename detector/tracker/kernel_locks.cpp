#include "detector/tracker/kernel_locks.hpp"

#include <linux/kcmp.h>
#include <sys/sysmacros.h>

#include <cstring>

#include "detector/tracker/sys.hpp"

namespace forkscope::kernel_locks {

namespace {

using record::LockType;

const char* listed_name(LockType type) {
  if (type == LockType::kFlock) return "FLOCK";
  return type == LockType::kOfdLock ? "OFDLCK" : "POSIX";
}

/// Reads a line word by word. What does not parse gives words and numbers that match nothing.
class Words {
 public:
  explicit Words(const char* line) : at_(line) {}

  bool is(const char* word) {
    skip_spaces();
    std::size_t length = std::strlen(word);
    bool same = std::strncmp(at_, word, length) == 0 && (at_[length] == ' ' || at_[length] == '\0');
    skip();
    return same;
  }
  void skip() {
    skip_spaces();
    while (*at_ != ' ' && *at_ != '\0') ++at_;
  }
  std::int64_t number(unsigned base = 10) {
    skip_spaces();
    bool negative = *at_ == '-';
    if (negative) ++at_;
    std::uint64_t value = 0;
    for (unsigned digit; (digit = digit_at()) < base; ++at_) value = value * base + digit;
    return negative ? -std::int64_t(value) : std::int64_t(value);
  }
  bool take(char c) {
    if (*at_ != c) return false;
    ++at_;
    return true;
  }
  bool at_letter() {
    skip_spaces();
    return *at_ >= 'A';
  }

 private:
  unsigned digit_at() const {
    if (*at_ >= '0' && *at_ <= '9') return unsigned(*at_ - '0');
    if (*at_ >= 'a' && *at_ <= 'f') return unsigned(*at_ - 'a') + 10;
    return 99;
  }
  void skip_spaces() {
    while (*at_ == ' ') ++at_;
  }
  const char* at_;
};

}  // namespace

// fs/locks.c, lock_get_status: "1: FLOCK  ADVISORY  WRITE 3568 fd:00:2531452 0 EOF"; one that is
// waited for has "->" after the number. The device is that of the superblock, which fstat(2) need
// not give (btrfs, overlayfs): where there is a pid to compare, it decides.
bool line_matches(const char* line, const Sought& sought) {
  Words words(line);
  words.skip();  // its number
  if (!words.is(listed_name(sought.type))) return false;
  words.skip();  // ADVISORY
  words.skip();  // READ, WRITE
  std::int64_t pid = words.number();
  auto major_number = std::uint64_t(words.number(16));
  if (!words.take(':')) return false;
  auto minor_number = std::uint64_t(words.number(16));
  if (!words.take(':')) return false;
  auto inode = std::uint64_t(words.number());
  auto first = std::uint64_t(words.number());
  std::uint64_t last = words.at_letter() ? UINT64_MAX : std::uint64_t(words.number());
  bool same_file =
      inode == sought.inode &&
      (sought.type == LockType::kOfdLock ? makedev(major_number, minor_number) == sought.device
                                         : pid == sought.pid);
  return same_file && first < sought.end && last >= sought.begin;
}

namespace {

/// `pieces`: reads it took. The kernel's list is consistent within one only, and counts lines: one
/// that is removed between two reads hides another.
bool listed_now(const Sought& sought, int& pieces) {
  pieces = 0;
  long fd = sys::openat("/proc/locks", O_RDONLY);
  if (fd < 0) return false;
  char text[1024];
  std::size_t kept = 0;
  bool found = false;
  for (;;) {
    long size = sys::call(SYS_read, fd, sys::arg(text + kept), long(sizeof text - 1 - kept));
    if (size <= 0) break;
    ++pieces;
    kept += std::size_t(size);
    text[kept] = '\0';
    char* line = text;
    for (char* end; !found && (end = std::strchr(line, '\n')) != nullptr; line = end + 1) {
      *end = '\0';
      found = line_matches(line, sought);
    }
    kept -= std::size_t(line - text);
    if (found || kept == sizeof text - 1) break;
    std::memmove(text, line, kept);
  }
  sys::close(int(fd));
  return found;
}

}  // namespace

bool listed(const Sought& sought) {
  constexpr int kAttempts = 4;
  int pieces = 0;
  for (int i = 0; i < kAttempts; ++i) {
    if (listed_now(sought, pieces)) return true;
    if (pieces <= 1) return false;
  }
  return false;
}

bool same_open_file(std::int32_t pid, int descriptor) {
  long order = sys::call(SYS_kcmp, sys::getpid(), pid, KCMP_FILE, descriptor, descriptor);
  if (order >= 0) return order == 0;
  if (order == -EBADF || order == -ESRCH) return false;  // closed there: it was handed over
  long alive = sys::call(SYS_kill, pid, 0);
  return alive == 0 || alive == -EPERM;
}

}  // namespace forkscope::kernel_locks
