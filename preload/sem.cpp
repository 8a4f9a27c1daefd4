// sem_wait and its relatives, sem_post. A semaphore has no owner: a slot says that the thread
// waited for it and has not posted it since, which is evidence of a use as a lock. A post by a
// thread that has no such slot is a signal to others; a child that waits in vain is told who used
// to send it.
#include <semaphore.h>

#include <cerrno>

#include "detector/tracker/births.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/process.hpp"
#include "preload/lock_call.hpp"

using namespace forkscope;
using lock_call::Kind;
using record::Call;

namespace {

constexpr Kind kind(Call call) { return {record::LockType::kSemaphore, 0, call}; }

/// Slots for semaphores that others post would fill the table: only the last ones are kept.
constexpr int kKept = 4;

/// Orders the waits of several threads for one semaphore: two can have waited for it and not posted
/// only if somebody posted in between who had not waited. Those posts are counted, all in one.
constinit std::atomic<std::uint32_t> foreign_posts{0};

std::uint32_t order() { return foreign_posts.load(std::memory_order_relaxed); }

/// The last semaphores that a forked child has made: no thread of its parent matters to them.
class MadeHere {
 public:
  void add(const sem_t* semaphore) {
    made_[next_.fetch_add(1, std::memory_order_relaxed) % kMade] = {semaphore, process.generation};
  }
  bool has(const sem_t* semaphore) const {
    for (const Made& one : made_)
      if (one.semaphore == semaphore && one.generation == process.generation) return true;
    return false;
  }

 private:
  static constexpr std::uint32_t kMade = 64;
  struct Made {
    const sem_t* semaphore;
    std::uint32_t generation;
  };
  Made made_[kMade] = {};
  std::atomic<std::uint32_t> next_{0};
};
constinit MadeHere made_here;

bool is_semaphore(const Slot& slot) {
  return Hold(slot.word.load(std::memory_order_relaxed) & kHoldMask) == Hold::kHeld &&
         slot.type == record::LockType::kSemaphore;
}

[[gnu::noinline]] void forget_oldest(ThreadRecord& thread) {
  int count = 0;
  Slot* oldest = nullptr;
  for (Slot* slot = thread.slots; slot < thread.top; ++slot) {
    if (!is_semaphore(*slot)) continue;
    ++count;
    if (oldest == nullptr || std::int32_t(slot->time - oldest->time) < 0) oldest = slot;
  }
  if (count > kKept) table::drop(thread, oldest->word);
}

void took(ThreadRecord& thread, const sem_t* semaphore) {
  if (auto* before = table::find(thread, semaphore, Hold::kHeld))  // posted by another thread
    table::drop(thread, *before);
  if (Slot* slot = thread.top - 1; thread.deep == 0 && slot->word.load(std::memory_order_relaxed) ==
                                                           tagged(semaphore, Hold::kWanted))
      [[likely]]
    slot->time = order();
  table::settle(thread, semaphore, true);
  if (thread.top - thread.slots > kKept) [[unlikely]]
    forget_oldest(thread);
}

/// After the real call.
[[gnu::noinline]] void settle_slowly(ThreadRecord& thread, const sem_t* semaphore, bool got) {
  if (got)
    took(thread, semaphore);
  else if (auto* word = table::find(thread, semaphore, Hold::kWanted))
    table::clear(thread, *word);
}

/// The same, the fast case: the thread has nothing else.
[[gnu::always_inline]] inline void settle(ThreadRecord& thread, const sem_t* semaphore, bool got) {
  Slot* only = thread.slots;
  if (!got || thread.top != only + 1 || thread.deep != 0 ||
      only->word.load(std::memory_order_relaxed) != tagged(semaphore, Hold::kWanted)) [[unlikely]]
    return settle_slowly(thread, semaphore, got);
  only->time = order();
  only->word.store(tagged(semaphore, Hold::kHeld), std::memory_order_release);
}

[[gnu::always_inline]] inline void begin_wait(ThreadRecord& thread, const sem_t* semaphore,
                                              const void* caller) {
  thread.wait_caller = reinterpret_cast<std::uint64_t>(caller);
  thread.waiting.store(record::ThreadState::kSemWait, std::memory_order_relaxed);
  thread.wait_object.store(semaphore, std::memory_order_release);
}

/// In a child that lost threads. True when the semaphore could be had at once.
[[gnu::noinline]] bool meet(ThreadRecord& thread, sem_t* semaphore, Call call, void* caller,
                            Met& met) {
  if (record::waits_of(call) == record::Waits::kForever) {  // the others look at their arguments
    int error = errno;
    if (real().sem_trywait(semaphore) == 0) return true;
    errno = error;
  } else if (lock_words::semaphore_value(semaphore) != 0) {
    return false;
  }
  if (made_here.has(semaphore)) return false;
  met = meet_semaphore(thread, semaphore, call, caller);
  if (!met.broken) return false;
  real().sem_post(semaphore);
  met = {};
  return false;
}

template <typename Wait>
[[gnu::always_inline]] inline int take(sem_t* semaphore, Call call, void* caller, bool recorded,
                                       Wait&& wait) {
  ThreadRecord* thread = observed(call, caller);
  if (thread == nullptr) [[unlikely]]
    return wait();
  if (!recorded) [[unlikely]]
    table::want_deep(*thread, semaphore, record::LockType::kSemaphore, 0, caller);
  if (inject::refuses(*thread, semaphore, record::LockType::kSemaphore, 0, call, caller))
      [[unlikely]] {
    settle_slowly(*thread, semaphore, false);
    errno = record::waits_of(call) == record::Waits::kTry ? EAGAIN : ETIMEDOUT;
    return -1;
  }
  Met met;
  if (thread->guarded) [[unlikely]] {
    if (meet(*thread, semaphore, call, caller, met)) {
      took(*thread, semaphore);
      lock_call::got(*thread, semaphore, kind(call), caller, met);
      return 0;
    }
  }
  begin_wait(*thread, semaphore, caller);
  int result = wait();
  thread->wait_object.store(nullptr, std::memory_order_release);
  settle_slowly(*thread, semaphore, result == 0);
  if (result == 0) lock_call::got(*thread, semaphore, kind(call), caller, met);
  if (met.finding != 0) [[unlikely]]  // EINTR, too: it did not wait for ever
    call_returned(met.finding, semaphore, record::waits_of(call) == record::Waits::kForever);
  return result;
}

// A cancellation point each: no noexcept.
[[gnu::noinline]] int wait(sem_t* semaphore, void* caller, bool recorded) {
  return take(semaphore, Call::kSemWait, caller, recorded,
              [&] { return real().sem_wait(semaphore); });
}
[[gnu::noinline]] int trywait(sem_t* semaphore, void* caller, bool recorded) {
  return take(semaphore, Call::kSemTrywait, caller, recorded,
              [&] { return real().sem_trywait(semaphore); });
}
[[gnu::noinline]] int timedwait(sem_t* semaphore, const timespec* until, void* caller,
                                bool recorded) {
  return take(semaphore, Call::kSemTimedwait, caller, recorded,
              [&] { return real().sem_timedwait(semaphore, until); });
}
[[gnu::noinline]] int clockwait(sem_t* semaphore, clockid_t clock, const timespec* until,
                                void* caller, bool recorded) {
  return take(semaphore, Call::kSemClockwait, caller, recorded,
              [&] { return real().sem_clockwait(semaphore, clock, until); });
}

}  // namespace

FORKSCOPE_EXPORT int sem_wait(sem_t* semaphore) {
  if (ThreadRecord* thread = detail::unguarded) table::trim(*thread);  // what sem_post left
  if (lock_call::begin(semaphore, kind(Call::kSemWait), FORKSCOPE_CALL_SITE)) [[likely]] {
    begin_wait(*detail::self, semaphore, __builtin_return_address(0));
    int result = real_functions.sem_wait(semaphore);
    ThreadRecord& thread = *detail::self;
    thread.wait_object.store(nullptr, std::memory_order_release);
    settle(thread, semaphore, result == 0);
    return result;
  }
  bool recorded = lock_call::record_call(semaphore, kind(Call::kSemWait), FORKSCOPE_CALL_SITE);
  return wait(semaphore, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int sem_trywait(sem_t* semaphore) noexcept {
  bool recorded = lock_call::record_call(semaphore, kind(Call::kSemTrywait), FORKSCOPE_CALL_SITE);
  return trywait(semaphore, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int sem_timedwait(sem_t* __restrict semaphore, const timespec* __restrict until) {
  bool recorded = lock_call::record_call(semaphore, kind(Call::kSemTimedwait), FORKSCOPE_CALL_SITE);
  return timedwait(semaphore, until, __builtin_return_address(0), recorded);
}

FORKSCOPE_EXPORT int sem_clockwait(sem_t* __restrict semaphore, clockid_t clock,
                                   const timespec* __restrict until) {
  bool recorded = lock_call::record_call(semaphore, kind(Call::kSemClockwait), FORKSCOPE_CALL_SITE);
  return clockwait(semaphore, clock, until, __builtin_return_address(0), recorded);
}

namespace {

[[gnu::noinline]] int post_slowly(sem_t* semaphore) {
  ThreadRecord* thread = detail::self;
  if (thread != nullptr && !thread->vfork_open) {
    inject::giving_up(*thread, semaphore);
    if (!lock_call::note_release(*thread, semaphore) && thread->guarded)
      history::forget(semaphore);
    if (!table::release_slowly(*thread, semaphore, true)) {
      note_signal(*thread, semaphore);
      foreign_posts.fetch_add(1, std::memory_order_relaxed);
    }
  }
  return real().sem_post(semaphore);
}

}  // namespace

/// Async-signal-safe by POSIX: an unknown thread is not made known here, and nothing is moved in
/// the table of one that may be in the middle of something.
FORKSCOPE_EXPORT int sem_post(sem_t* semaphore) noexcept {
  ThreadRecord* thread = detail::unguarded;
  if (thread == nullptr || thread->top == thread->slots) [[unlikely]]
    return post_slowly(semaphore);
  Slot& newest = thread->top[-1];
  if (newest.word.load(std::memory_order_relaxed) != tagged(semaphore, Hold::kHeld) ||
      !history::count_release(*thread, semaphore)) [[unlikely]]
    return post_slowly(semaphore);
  newest.word.store(0, std::memory_order_release);
  return real_functions.sem_post(semaphore);
}

FORKSCOPE_EXPORT int sem_init(sem_t* semaphore, int pshared, unsigned value) noexcept {
  int result = real().sem_init(semaphore, pshared, value);
  if (result != 0) return result;
  lock_call::forget(semaphore, record::LockType::kSemaphore);
  births::note(semaphore);
  if (process.generation > 0) [[unlikely]]
    made_here.add(semaphore);
  return result;
}

FORKSCOPE_EXPORT int sem_destroy(sem_t* semaphore) noexcept {
  int result = real().sem_destroy(semaphore);
  births::forget(semaphore);
  if (result == 0) lock_call::forget(semaphore, record::LockType::kSemaphore);
  return result;
}
