// forkscope/annotate.h: what a program says of itself. It asks for these functions once, by a
// syscall(SYS_getpid) that syscall.S hands over.
//
// A lock of the program's own is recorded as one without owner word (lock_call.hpp), with two
// differences: it may be a single byte anywhere (slot_key), and nobody can try it or read whether
// it is taken, so what was recorded is all the evidence there is (tracker/custom_locks.hpp).
#include "preload/include/forkscope/annotate.h"

#include "detector/tracker/custom_locks.hpp"
#include "detector/tracker/lock_names.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using lock_call::Kind;
using record::Call;
using record::LockType;

namespace {

[[gnu::always_inline]] inline const void* plain(const volatile void* lock) {
  return const_cast<const void*>(lock);
}
[[gnu::always_inline]] inline const void* key_of(const volatile void* lock) {
  return slot_key(plain(lock), LockType::kCustom);
}
[[gnu::always_inline]] inline Kind kind_of(unsigned shared) {
  return {LockType::kCustom, shared != 0 ? std::uint8_t(record::kLockReader) : std::uint8_t(0),
          Call::kCustomLock};
}

/// Another thread of the child may still repair it.
void wait_for_change(const void* lock) {
  constexpr long kStep = 2'000'000;  // nanoseconds
  const std::uint64_t until = sys::now() + kPatienceSeconds * 1'000'000'000u;
  while (sys::now() < until && custom_locks::unchanged_since_fork(lock) && sys::nap(kStep)) {
  }
}

[[gnu::noinline]] void acquiring_slowly(const volatile void* lock, unsigned shared, void* caller,
                                        bool recorded) {
  const int error = errno;
  const Kind kind = kind_of(shared);
  if (ThreadRecord* thread = observed(kind.call, caller)) {
    if (!recorded) table::want_deep(*thread, key_of(lock), kind.type, kind.flags, caller);
    inject::wants(*thread, plain(lock));
    if (thread->guarded) {
      const auto meet = [&](bool waited) {
        return meet_lock(*thread, plain(lock), kind.type, kind.flags, kind.call, caller, waited);
      };
      Met met = meet(false);
      if (met.wait_first) {
        wait_for_change(plain(lock));
        met = meet(true);
      }
      thread->custom_lock = plain(lock);
      thread->custom_finding = met.finding;
    }
  }
  errno = error;
}

/// In a child that lost threads, of a lock that could be had.
[[gnu::noinline]] void acquired_slowly(const volatile void* lock, unsigned shared, void* caller) {
  const int error = errno;
  const Kind kind = kind_of(shared);
  if (ThreadRecord* thread = observed(kind.call, caller)) {
    if (thread->custom_finding != 0 && thread->custom_lock == plain(lock))
      call_returned(thread->custom_finding, plain(lock), true);
    thread->custom_lock = nullptr;
    thread->custom_finding = 0;
    if (thread->guarded) lock_call::had(key_of(lock), kind);
    if (table::find(*thread, key_of(lock), Hold::kWanted) == nullptr)
      table::want_deep(*thread, key_of(lock), kind.type, kind.flags, caller);
    table::settle(*thread, key_of(lock), true);
    inject::taken(*thread, plain(lock), kind.type, kind.flags, caller);
  }
  errno = error;
}

[[gnu::noinline]] void releasing_slowly(const volatile void* lock) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  inject::giving_up(*thread, plain(lock));
  const void* key = key_of(lock);
  if (table::release(*thread, key) || table::release_slowly(*thread, key, false)) return;
  if (thread->dropped > 0) {
    --thread->dropped;
    return;
  }
  const int error = errno;
  if (thread->guarded)
    forget_lost(key, LockType::kCustom);  // an at-fork handler gives up what its parent had taken
  else
    custom_locks::note_handed_over(plain(lock));
  errno = error;
}

}  // namespace

extern "C" {

[[gnu::visibility("hidden")]] void forkscope_lock_acquiring(const volatile void* lock,
                                                            unsigned shared) {
  const bool recorded =
      lock_call::record_call(key_of(lock), kind_of(shared), FORKSCOPE_CALL_SITE);
  if (recorded && detail::unguarded != nullptr) [[likely]]
    return;
  acquiring_slowly(lock, shared, __builtin_return_address(0), recorded);
}

[[gnu::visibility("hidden")]] void forkscope_lock_acquired(const volatile void* lock,
                                                           unsigned shared) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr || thread->vfork_open) [[unlikely]]
    return acquired_slowly(lock, shared, __builtin_return_address(0));
  const void* key = key_of(lock);
  std::atomic<std::uintptr_t>* word = table::find(*thread, key, Hold::kWanted);
  if (word == nullptr) {  // taken by one try
    table::want(*thread, key, LockType::kCustom, kind_of(shared).flags, FORKSCOPE_CALL_SITE);
    return table::settle(*thread, key, true);
  }
  word->store(tagged(key, Hold::kHeld), std::memory_order_release);
}

[[gnu::visibility("hidden")]] void forkscope_lock_given_up(const volatile void* lock) {
  ThreadRecord* thread = detail::self;
  if (thread == nullptr || thread->vfork_open) return;
  table::settle(*thread, key_of(lock), false);
  thread->custom_lock = nullptr;
  thread->custom_finding = 0;
}

[[gnu::visibility("hidden")]] void forkscope_lock_releasing(const volatile void* lock) {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr || !table::release(*thread, key_of(lock))) [[unlikely]]
    releasing_slowly(lock);
}

[[gnu::visibility("hidden")]] void forkscope_lock_forget(const volatile void* lock) {
  const int error = errno;
  lock_call::forget(key_of(lock), LockType::kCustom);
  lock_names::forget(plain(lock));
  errno = error;
}

[[gnu::visibility("hidden")]] void forkscope_lock_name(const volatile void* lock,
                                                       const char* name) {
  lock_names::set(plain(lock), name);
}

[[gnu::visibility("hidden")]] void forkscope_forks_declared(const char* reason) {
  ThreadRecord* thread = current();
  if (thread != nullptr && !thread->vfork_open) thread->fork_declared = reason;
}

static constexpr forkscope_hooks_1 forkscope_hooks_table = {
    forkscope_lock_acquiring, forkscope_lock_acquired, forkscope_lock_given_up,
    forkscope_lock_releasing, forkscope_lock_forget,   forkscope_lock_name,
    forkscope_forks_declared};

/// Jumped to from syscall.S. Not with all parameters of syscall(): of a call with fewer, the place
/// of the last one on the stack is a variable of the caller's, perhaps the one that is answered to.
[[gnu::visibility("hidden")]] long forkscope_answer_annotations(long, long question,
                                                                const void** answer) noexcept {
  static_assert(FORKSCOPE_HOOKS_QUESTION_1 == 0x666f726b73636f31);  // as syscall.S has it
  if (question == FORKSCOPE_HOOKS_QUESTION_1 && process.pid != 0 && answer != nullptr)
    *answer = &forkscope_hooks_table;
  return sys::getpid();
}
}
