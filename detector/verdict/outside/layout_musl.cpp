// musl's locks (src/internal/pthread_impl.h, src/thread/): other words than glibc's, and the waits
// are all FUTEX_WAIT.
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {
namespace {

constexpr std::uint32_t kWaiters = 0x80000000;
constexpr std::uint32_t kOwnerDied = 0x40000000, kTidMask = 0x3fffffff;
constexpr std::uint32_t kPrivateWord = 128;

/// pthread_mutex_t: _m_type, _m_lock, _m_waiters; awaited is _m_lock.
void read_mutex(const Scene& scene) {
  constexpr std::uint32_t kTypeMask = 3, kRobust = 4, kInherit = 8, kShared = 128, kBusy = 16;
  const std::uint32_t word = scene.wait.expected;
  auto type = scene.word(-4), waiters = scene.word(4);
  if ((word & kWaiters) == 0 || !type || !waiters || !scene.aligned(-4, 8)) return;
  if ((*type & ~(kTypeMask | kRobust | kInherit | kShared)) != 0) return;
  const std::uint32_t kind = *type & kTypeMask;
  if (kind == 3 || *waiters > kMostThreads) return;
  if (((*type & kShared) == 0) != scene.wait.is_private) return;
  constexpr const char* kNames[] = {"mutex", "recursive mutex", "error-checking mutex"};
  RecognisedLock lock = scene.lock(LockFamily::kMutex, kNames[kind], -4);
  lock.held = true;
  lock.robust = (*type & kRobust) != 0;
  lock.process_shared = (*type & kShared) != 0;
  int points = *type == 0 ? kZero : kSmallNumber;
  if (*waiters != 0) points += kSmallNumber;
  const std::uint32_t owner = word & kTidMask;
  if ((*type & 15) == 0) {
    // A plain one does not record its owner: the word is EBUSY.
    if (owner != kBusy) return;
    points += 2 * kMark;
    lock.state = "no owner is recorded";
  } else {
    if (!is_tid(owner)) return;
    lock.owner = std::int32_t(owner);
    points += kMark + kThread;
    if ((word & kOwnerDied) != 0) lock.state = "its owner died with it";
  }
  scene.add(std::move(lock), points);
}

/// The node a waiter of a private pthread_cond_t has on its stack: two pointers, a state, the
/// awaited word, a pointer.
void read_condition(const Scene& scene) {
  constexpr std::uint32_t kWaiting = 0, kLeaving = 2;
  auto state = scene.word(-4);
  if (scene.wait.expected != 2 || !scene.wait.is_private || !scene.aligned(-20, 8)) return;
  if (!state || *state > kLeaving) return;
  RecognisedLock lock = scene.lock(LockFamily::kCondition, "condition variable");
  lock.state = "the word is its waiter's, on the stack";
  int points = kCommon + kZero;
  if (*state != kWaiting) lock.state = "signalled";
  scene.add(std::move(lock), points);
}

/// A process-shared pthread_cond_t: -1, a sequence number, which is awaited, how many wait.
void read_shared_condition(const Scene& scene) {
  auto mark = scene.two_words(-8);
  auto waiters = scene.word(4);
  if (scene.wait.is_private || !mark || *mark != ~std::uint64_t(0)) return;
  if (!waiters || !is_count(*waiters)) return;
  RecognisedLock lock = scene.lock(LockFamily::kCondition, "condition variable", -8);
  lock.process_shared = true;
  lock.state = counted(*waiters, "recorded waiter");
  scene.add(std::move(lock), 2 * kMark + kSmallNumber);
}

/// sem_t: the value, how many wait, 128 when private. Waited for was -1, and is 0x80000000 since
/// 1.2.4.
void read_semaphore(const Scene& scene) {
  const std::uint32_t word = scene.wait.expected;
  if (word != 0xffffffff && word != kWaiters) return;
  auto waiters = scene.word(4), is_private = scene.word(8);
  if (!waiters || !is_private || !is_count(*waiters)) return;
  if (*is_private != (scene.wait.is_private ? kPrivateWord : 0)) return;
  RecognisedLock lock = scene.lock(LockFamily::kSemaphore, "semaphore");
  lock.process_shared = *is_private == 0;
  lock.state = "its value is 0, " + counted(*waiters, "recorded waiter");
  scene.add(std::move(lock), kMark + kSmallNumber + (*is_private != 0 ? kMark : kZero));
}

/// pthread_rwlock_t: how many readers or 0x7fffffff for a writer, how many wait, 128 when shared.
void read_rwlock(const Scene& scene) {
  constexpr std::uint32_t kWriter = 0x7fffffff;
  const std::uint32_t word = scene.wait.expected;
  auto waiters = scene.word(4), shared = scene.word(8);
  if ((word & kWaiters) == 0 || !waiters || !shared || !is_count(*waiters)) return;
  if (*shared != (scene.wait.is_private ? 0 : 128)) return;
  const std::uint32_t readers = word & kWriter;
  if (readers != kWriter && !is_count(readers)) return;
  RecognisedLock lock = scene.lock(LockFamily::kRwlock, "read-write lock");
  lock.held = true;
  lock.process_shared = *shared != 0;
  lock.mode = readers == kWriter ? "write" : "read";
  if (readers != kWriter) lock.state = counted(readers, "reader");
  scene.add(std::move(lock), kMark + kSmallNumber + (*shared == 0 ? kZero : kMark));
}

/// LOCK(): INT_MIN and how many hold it or wait. A stream's lock is a TID and a bit.
void read_internal(const Scene& scene) {
  const std::uint32_t word = scene.wait.expected;
  const std::uint32_t users = word & ~kWaiters;
  if ((word & kWaiters) == 0 || users < 2 || users > kMostThreads) return;
  RecognisedLock lock = scene.lock(LockFamily::kLibcLock, "lock inside libc");
  lock.held = true;
  scene.add(std::move(lock), kMark);
}

void read_stream(const Scene& scene) {
  constexpr std::uint32_t kMaybeWaiters = 0x40000000;
  const std::uint32_t word = scene.wait.expected;
  if ((word & kMaybeWaiters) == 0 || !is_tid(word & ~kMaybeWaiters)) return;
  RecognisedLock lock = scene.lock(LockFamily::kLibcLock, "stdio stream");
  lock.held = true;
  lock.owner = std::int32_t(word & ~kMaybeWaiters);
  scene.add(std::move(lock), kMark);
}

void read_once(const Scene& scene) {
  // 1 running, 2 done, 3 running and waited for.
  if (scene.wait.expected != 3) return;
  RecognisedLock lock = scene.lock(LockFamily::kOnce, "once flag");
  lock.held = true;
  lock.state = "its function is running";
  scene.add(std::move(lock), kCommon);
}

/// pthread_barrier_t: awaited are words of the first arrival's stack.
void read_barrier(const Scene& scene) {
  if (scene.wait.expected <= 1) scene.add(scene.lock(LockFamily::kBarrier, "barrier"), kAnything);
}

void read_join(const Scene& scene) {
  // detach_state: DT_JOINABLE is 2, DT_EXITING 1. Whose it is follows from the descriptor alone.
  if (scene.wait.expected != 1 && scene.wait.expected != 2) return;
  scene.add(scene.lock(LockFamily::kJoin, "thread"), kAnything);
}

}  // namespace

void read_musl_requeued(const Scene& scene) {
  constexpr std::uint32_t kSignaled = 1, kLeaving = 2;
  auto state = scene.word(-4), word = scene.word(0);
  if (scene.wait.expected != 2 || scene.wait.bitset || !scene.wait.is_private) return;
  if (!state || !word || *word != 0 || (*state != kSignaled && *state != kLeaving)) return;
  if (!scene.aligned(-20, 8)) return;
  RecognisedLock lock = scene.lock(LockFamily::kCondition, "condition variable");
  lock.state = "signalled, and may have been moved to its mutex";
  scene.add(std::move(lock), kCommon);
}

void read_musl(const Scene& scene) {
  if (scene.wait.bitset || scene.wait.pi) return;
  read_mutex(scene);
  read_condition(scene);
  read_shared_condition(scene);
  read_barrier(scene);
  read_semaphore(scene);
  read_rwlock(scene);
  read_internal(scene);
  read_stream(scene);
  read_once(scene);
  read_join(scene);
}

}  // namespace forkscope::layout
