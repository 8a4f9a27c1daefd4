#include "detector/tracker/latent.hpp"

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/history.hpp"
#include "detector/tracker/inject.hpp"
#include "detector/tracker/inject_probe.hpp"
#include "detector/tracker/look.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/process.hpp"
#include "detector/tracker/sys.hpp"
#include "detector/tracker/unsafe_sites.hpp"

namespace forkscope {

constinit std::atomic<std::uintptr_t> asked[kAsked] = {};

namespace {

using namespace record;

/// Kinds whose interposers have a short path in a guarded thread. A semaphore's permits are counted
/// each time.
bool is_asked_once(LockType type) {
  switch (type) {
    case LockType::kMutexNormal:
    case LockType::kMutexRecursive:
    case LockType::kMutexErrorcheck:
    case LockType::kMutexAdaptive:
    case LockType::kRwlock:
    case LockType::kSpinlock:
      return true;
    default:
      return false;
  }
}

void remember_asked(const void* lock, LockType type, std::uint8_t flags) {
  if (inject::armed || !is_asked_once(type)) return;
  const bool mutex = type != LockType::kRwlock && type != LockType::kSpinlock;
  const std::uintptr_t word = asked_word(lock, mutex ? LockType::kMutexNormal : type, flags);
  asked_place(word).store(word, std::memory_order_relaxed);
}

/// Whether the call would have waited for ever. A sem_trywait may be half of CPython's
/// PyThread_acquire_lock_timed, which tries first: who reads the record sees who called.
bool would_wait(Call call) {
  return waits_of(call) == Waits::kForever || call == Call::kSemTrywait;
}

/// libc makes these good in the child, if it knows of the fork.
bool made_good_by_libc(LockType type) {
  return (type == LockType::kOnce || type == LockType::kFile) &&
         handlers_of(process.last_api) == Handlers::kRun;
}

std::uint64_t key_of(const void* lock, const void* caller, Call call) {
  // By the names of their modules: another may have come to lie at the same addresses.
  return process.repeat_key({unsafe_sites::key_of(std::uint64_t(call), lock),
                             unsafe_sites::key_of(std::uint64_t(call), caller)});
}

}  // namespace

void note_taken_in_child(ThreadRecord& thread, const void* lock, LockType type, std::uint8_t flags,
                         Call call, const void* return_address) {
  if (!would_wait(call) || !process.arena.attached() || process.probe) return;
  inject::probing::learn({lock, type, flags, call, return_address});
  const history::LostUses lost = history::lost_uses(lock, type, flags);
  history::Use* use = lost.longest;
  if (use == nullptr) return remember_asked(lock, type, flags);
  if (made_good_by_libc(type)) return;
  const bool tries = waits_of(call) == Waits::kTry;
  if (tries && use->tried) return;
  use->tried = true;
  // Of several permits the lost threads must be able to have all.
  if (type == LockType::kSemaphore && lock_words::semaphore_value(lock) + 1 > lost.threads) return;
  if (!sys::is_shared(lock)) {
    const Arena::Repeat repeat = process.arena.repeat(key_of(lock, return_address, call));
    if (repeat.first) {
      Meeting meeting;
      meeting.thread = &thread;
      meeting.object = lock;
      meeting.object_size = lock_words::size(type);
      meeting.return_address = return_address;
      meeting.severity = Severity::kLatent;
      meeting.call = call;
      meeting.evidence = Evidence::kTookBefore;
      meeting.lock_type = type;
      meeting.lock_flags = flags & kLockReader;
      meeting.holder = &history::thread_of(*use);
      meeting.holder_tid = meeting.holder->tid;
      meeting.use = use;
      meeting.repeat = repeat.index + 1;
      meeting.living = process.living.load(std::memory_order_relaxed);
      look::await_in_python(write_finding(meeting));
    }
  }
  // From here on it is the child's own: whoever has it next will give it up.
  if (tries) return;
  history::forget_lost_uses(lock);
  remember_asked(lock, type, flags);
}

}  // namespace forkscope
