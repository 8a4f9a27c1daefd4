// flockfile, ftrylockfile, funlockfile. glibc resets the locks of all streams in the child of
// fork(), which the words show; not in that of _Fork() or a clone. The locks that stdio functions
// take inside libc pass no interposer.
#include <stdio.h>

#include "detector/tracker/lock_words.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using lock_call::Kind;
using record::Call;

namespace {

constexpr Kind kLock{record::LockType::kFile, 0, Call::kFlockfile};
constexpr Kind kTrylock{record::LockType::kFile, 0, Call::kFtrylockfile};

template <typename Lock>
[[gnu::always_inline]] inline int take(FILE* stream, const Kind& kind, void* caller, bool recorded,
                                       Lock&& function) {
  return lock_call::take(
      stream, kind, caller, recorded, function,
      [&] { return real().ftrylockfile(stream) == 0 ? 0 : EBUSY; },
      [&] {
        auto* lock = const_cast<lock_words::FileLock*>(lock_words::file_lock(stream));
        *lock = {0, 0, nullptr};
      });
}
[[gnu::noinline]] void lock_file(FILE* stream, void* caller, bool recorded) {
  take(stream, kLock, caller, recorded, [&] {
    real().flockfile(stream);
    return 0;
  });
}
[[gnu::noinline]] int trylock(FILE* stream, void* caller, bool recorded) {
  // EBUSY stands for "not got" in between; libc's own value is what the program is to see.
  int result = 0;
  const int got =
      take(stream, kTrylock, caller, recorded, [&] { return result = real().ftrylockfile(stream); });
  return result == 0 ? got : result;
}

}  // namespace

FORKSCOPE_EXPORT void flockfile(FILE* stream) noexcept {
  if (lock_call::begin(stream, kLock, FORKSCOPE_CALL_SITE)) [[likely]] {
    real_functions.flockfile(stream);
    lock_call::finish(stream, 0);
    return;
  }
  bool recorded = lock_call::record_call(stream, kLock, FORKSCOPE_CALL_SITE);
  lock_file(stream, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int ftrylockfile(FILE* stream) noexcept {
  bool recorded = lock_call::record_call(stream, kTrylock, FORKSCOPE_CALL_SITE);
  return trylock(stream, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT void funlockfile(FILE* stream) noexcept {
  lock_call::give_up(stream);
  real().funlockfile(stream);
}
