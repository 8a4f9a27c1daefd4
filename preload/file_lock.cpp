// flock, lockf, and the lock commands of fcntl. Every other fcntl passes by with a comparison.
//
// fcntl is variadic and its argument an int, a pointer or nothing: on x86-64 one word that is
// handed on as it is. The 64-bit names are for programs with large files; the structures are the
// same here. F_SETLKW is a cancellation point: nothing is open while it waits.
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdarg>

#include "detector/tracker/file_locks.hpp"
#include "detector/tracker/sys.hpp"
#include "preload/observed.hpp"
#include "preload/real.hpp"

using namespace forkscope;

static_assert(sizeof(struct flock) == sizeof(struct flock64));

namespace {

using record::Call;
using record::LockType;

/// complete(call) adds what takes system calls to find out, where it matters.
template <typename Complete, typename Lock>
[[gnu::always_inline]] inline int observe(FileLockCall call, Complete&& complete, Lock&& lock) {
  if (observed(call.call, call.caller) == nullptr) return lock();
  if (file_locks_inherited()) [[unlikely]] {
    int error = errno;
    complete(call);
    meet_file_lock(call);
    errno = error;
  }
  int result = lock();
  if (result == 0) file_locked(call);
  return result;
}

/// Where `whence` counts from.
std::int64_t origin(int descriptor, int whence) {
  struct stat info {};
  if (whence == SEEK_CUR) return sys::call(SYS_lseek, descriptor, 0, SEEK_CUR);
  if (whence == SEEK_END && sys::call(SYS_fstat, descriptor, sys::arg(&info)) == 0)
    return info.st_size;
  return 0;
}

/// l_len: 0 is up to the end, less than 0 before l_start (fcntl(2)).
void put_range(FileLockCall& call, int whence, std::int64_t start, std::int64_t length) {
  std::int64_t at = origin(call.descriptor, whence) + start;
  call.begin = std::uint64_t(length < 0 ? at + length : at);
  call.end = length == 0 ? UINT64_MAX : std::uint64_t(length < 0 ? at : at + length);
}

bool is_lock_command(int command) {
  return command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK ||
         command == F_OFD_SETLKW;
}

void put_wanted(FileLockCall& call, const struct flock& wanted) {
  call.unlocks = wanted.l_type == F_UNLCK;
  call.exclusive = wanted.l_type == F_WRLCK;
  call.whole = wanted.l_whence == SEEK_SET && wanted.l_start == 0 && wanted.l_len == 0;
}

/// The program's structure may be anywhere: it is read after the kernel has read it, or probed.
[[gnu::noinline]] int record_lock(int descriptor, int command, void* argument, const void* caller) {
  auto* wanted = static_cast<const struct flock*>(argument);
  bool ofd = command == F_OFD_SETLK || command == F_OFD_SETLKW;
  FileLockCall call{descriptor,   ofd ? LockType::kOfdLock : LockType::kRecordLock,
                    Call::kFcntl, false,
                    false,        false,
                    caller};
  if (observed(Call::kFcntl, caller) == nullptr) return real().fcntl(descriptor, command, argument);
  if (file_locks_inherited()) [[unlikely]] {
    int error = errno;
    if (sys::readable(wanted, sizeof *wanted)) {
      put_wanted(call, *wanted);
      put_range(call, wanted->l_whence, wanted->l_start, wanted->l_len);
      meet_file_lock(call);
    }
    errno = error;
  }
  int result = real().fcntl(descriptor, command, argument);
  if (result == 0) {
    put_wanted(call, *wanted);
    file_locked(call);
  }
  return result;
}

template <typename Lock>
[[gnu::always_inline]] inline int lock_file(int descriptor, int command, std::int64_t length,
                                            const void* caller, Lock&& lock) {
  if (command == F_TEST) return lock();
  FileLockCall call{
      descriptor, LockType::kRecordLock, Call::kLockf, command == F_ULOCK, true, false, caller};
  return observe(
      call, [&](FileLockCall& one) { put_range(one, SEEK_CUR, 0, length); }, lock);
}

[[gnu::always_inline]] inline int control(int (*next)(int, int, ...), int descriptor, int command,
                                          void* argument, const void* caller) {
  if (is_lock_command(command)) [[unlikely]]
    return record_lock(descriptor, command, argument, caller);
  return next(descriptor, command, argument);
}

}  // namespace

FORKSCOPE_EXPORT int flock(int descriptor, int operation) noexcept {
  FileLockCall call{descriptor,
                    LockType::kFlock,
                    Call::kFlock,
                    (operation & LOCK_UN) != 0,
                    (operation & LOCK_EX) != 0,
                    true,
                    __builtin_return_address(0)};
  return observe(
      call, [](FileLockCall&) {}, [&] { return real().flock(descriptor, operation); });
}

FORKSCOPE_EXPORT int lockf(int descriptor, int command, off_t length) {
  return lock_file(descriptor, command, length, __builtin_return_address(0),
                   [&] { return real().lockf(descriptor, command, length); });
}

FORKSCOPE_EXPORT int lockf64(int descriptor, int command, off64_t length) {
  return lock_file(descriptor, command, length, __builtin_return_address(0),
                   [&] { return real().lockf64(descriptor, command, length); });
}

FORKSCOPE_EXPORT int fcntl(int descriptor, int command, ...) {
  va_list more;
  va_start(more, command);
  void* argument = va_arg(more, void*);
  va_end(more);
  return control(real().fcntl, descriptor, command, argument, __builtin_return_address(0));
}

FORKSCOPE_EXPORT int fcntl64(int descriptor, int command, ...) {
  va_list more;
  va_start(more, command);
  void* argument = va_arg(more, void*);
  va_end(more);
  return control(real().fcntl64, descriptor, command, argument, __builtin_return_address(0));
}
