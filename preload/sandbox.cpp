// prctl(), and seccomp by number: what the program is about to forbid itself, this library included
// (confinement.hpp), and the name that a thread gives itself.
#include <linux/seccomp.h>
#include <sys/prctl.h>

#include <cerrno>
#include <cstdarg>
#include <cstring>

#include "detector/tracker/confinement.hpp"
#include "detector/tracker/registry.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/real.hpp"
#include "preload/vfork_child.hpp"

using namespace forkscope;

namespace {

/// `forward` makes the call that puts the filter on; negative or -1 where it did not.
template <typename Forward>
long put_on_filter(unsigned long program, Forward&& forward) {
  const int error = errno;
  confinement::Filter* filter = confinement::add(reinterpret_cast<const sock_fprog*>(program));
  errno = error;
  const long result = forward();
  // Positive: the descriptor of a listener, or a thread that could not follow (SECCOMP_FILTER_FLAG_
  // TSYNC): then it is not on, and believing so costs little.
  if (result < 0 && filter != nullptr) confinement::remove(*filter);
  return result;
}

template <typename Forward>
long be_strict(Forward&& forward) {
  const int error = errno;
  confinement::give_up_counter();  // arch/x86: seccomp_set_mode_strict() calls disable_TSC()
  confinement::be_strict(true);
  errno = error;
  const long result = forward();
  if (result < 0) confinement::be_strict(false);
  return result;
}

/// As much of the name as the kernel takes, which ends with a NUL or there.
void note_name(unsigned long name) {
  ThreadRecord* thread = current();
  if (thread == nullptr) return;
  auto* text = reinterpret_cast<const char*>(name);
  char noted[sizeof thread->name] = {};
  for (std::size_t i = 0; i < sizeof noted - 1 && text[i] != '\0'; ++i) noted[i] = text[i];
  std::memcpy(thread->name, noted, sizeof noted);
}

template <typename Forward>
long do_prctl(int option, unsigned long argument, unsigned long second, Forward&& forward) {
  if (in_borrowed_memory()) [[unlikely]]
    return forward();  // it forbids itself, but not whose memory this is
  switch (option) {
    case PR_SET_SECCOMP:
      if (argument == SECCOMP_MODE_STRICT) return be_strict(forward);
      if (argument == SECCOMP_MODE_FILTER) return put_on_filter(second, forward);
      return forward();
    case PR_SET_TSC:
      if (argument == PR_TSC_SIGSEGV) confinement::give_up_counter();
      return forward();
    case PR_SET_NAME: {
      const long result = forward();
      if (result == 0) note_name(argument);
      return result;
    }
    default:
      return forward();
  }
}

}  // namespace

FORKSCOPE_EXPORT int prctl(int option, ...) noexcept {
  va_list list;  // as libc does it: whoever gave fewer arguments does not mind
  va_start(list, option);
  unsigned long given[4];
  for (unsigned long& one : given) one = va_arg(list, unsigned long);
  va_end(list);
  return int(do_prctl(option, given[0], given[1], [&] {
    return long{real().prctl(option, given[0], given[1], given[2], given[3])};
  }));
}

/// Jumped to from syscall.S: prctl and seccomp.
extern "C" [[gnu::visibility("hidden")]] long forkscope_syscall_sandbox(
    long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d,
    unsigned long e, unsigned long f) noexcept {
  auto forward = [&] { return real().syscall(number, a, b, c, d, e, f); };
  if (number == SYS_prctl) return do_prctl(int(a), b, c, forward);
  if (in_borrowed_memory()) return forward();
  if (a == SECCOMP_SET_MODE_STRICT) return be_strict(forward);
  return a == SECCOMP_SET_MODE_FILTER ? put_on_filter(c, forward) : forward();
}
