// The small ones of glibc: sem_t, pthread_barrier_t, pthread_once_t, the descriptor of a thread
// that is joined, and the locks inside libc (sysdeps/nptl/internaltypes.h, nptl/descr.h,
// lowlevellock.h).
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {

namespace {
/// The word semaphores and barriers keep the kind of futex operation in.
constexpr std::uint32_t kSharedWord = 128;

bool agrees(const Scene& scene, std::uint32_t shared) {
  return shared == (scene.wait.is_private ? 0 : kSharedWord);
}
}  // namespace

void read_glibc_semaphore(const Scene& scene) {
  // struct new_sem where 64-bit atomics exist: the value and above it how many wait, then
  // `private`.
  if (scene.wait.pi || scene.wait.expected != 0 || !scene.aligned(0, 8)) return;
  auto waiters = scene.word(4), shared = scene.word(8);
  if (!waiters || !shared || !is_count(*waiters) || !agrees(scene, *shared)) return;
  int points = kZero + kSmallNumber + (*shared == 0 ? kZero : kMark);
  if (scene.bitset_untimed()) points += kAgrees;
  RecognisedLock lock = scene.lock(LockFamily::kSemaphore, "semaphore");
  lock.process_shared = *shared != 0;
  lock.state = "its value is 0, " + counted(*waiters, "recorded waiter");
  scene.add(std::move(lock), points);
}

void read_glibc_barrier(const Scene& scene) {
  if (scene.wait.pi || !scene.plain_untimed()) return;
  // Waited on is the round, or the count of arrivals by those that let a full barrier drain.
  for (std::int64_t at : {-4, 0}) {
    auto in = scene.word(at), round = scene.word(at + 4), count = scene.word(at + 8),
         shared = scene.word(at + 12), out = scene.word(at + 16);
    if (!in || !round || !count || !shared || !out || !agrees(scene, *shared)) continue;
    if (*count < 2 || *count > kMostThreads) continue;
    const std::uint32_t arrived = *in - *round;
    const bool draining = at == 0;
    if (draining ? *out == 0 || *out > *in : arrived == 0 || arrived >= *count) continue;
    if (!draining && (*round % *count != 0 || *out > *in)) continue;
    int points = 2 * kSmallNumber + 2 * kAgrees + (*shared == 0 ? kZero : kMark);
    RecognisedLock lock = scene.lock(LockFamily::kBarrier, "barrier", at);
    lock.process_shared = *shared != 0;
    lock.state = draining ? "being left"
                          : std::to_string(arrived) + " of " + std::to_string(*count) + " arrived";
    scene.add(std::move(lock), points);
  }
}

void read_glibc_once(const Scene& scene) {
  // Bit 0: in progress, bit 1: done; above them how many forks lie behind the process.
  if (scene.wait.pi || !scene.plain_untimed() || !scene.wait.is_private) return;
  if ((scene.wait.expected & 3) != 1) return;
  RecognisedLock lock = scene.lock(LockFamily::kOnce, "once flag");
  lock.held = true;
  lock.state = "its function is running";
  scene.add(std::move(lock), kCommon);
}

void read_glibc_join(const Scene& scene) {
  // struct pthread: a list node, tid, a word that was a PID once, then the thread's robust list:
  // its last element, its head and how far a mutex's lock word is from its node. The first two are
  // the head's address while no robust mutex is held.
  if (scene.wait.pi || scene.wait.is_private || !is_tid(scene.wait.expected)) return;
  // From 2.43 on a state (joinable, exiting) is waited for, elsewhere in the descriptor.
  if (scene.wait.expected <= 2) scene.add(scene.lock(LockFamily::kJoin, "thread"), kAnything);
  auto before = scene.two_words(-16), after = scene.two_words(-8);
  auto previous = scene.two_words(8), head = scene.two_words(16), distance = scene.two_words(24);
  if (!before || !after || !previous || !head || !distance || *before == 0 || *after == 0) return;
  const std::uint64_t self = scene.wait.address + 16;
  constexpr std::uint64_t kToLockWord = 0 - std::uint64_t(32);
  if (*distance != kToLockWord && *previous != self && *head != self) return;
  RecognisedLock lock = scene.lock(LockFamily::kJoin, "thread");
  lock.owner = std::int32_t(scene.wait.expected);
  lock.held = true;
  scene.add(std::move(lock), kSelfPointer + kThread);
}

void read_glibc_internal(const Scene& scene) {
  // lll_lock: 0, 1, 2. A stream's lock has a counter and a descriptor's address after it.
  if (scene.wait.pi || scene.wait.expected != 2 || scene.wait.bitset) return;
  RecognisedLock lock = scene.lock(LockFamily::kLibcLock, "lock inside libc");
  lock.held = true;
  int points = kCommon;
  auto depth = scene.word(4);
  auto owner = scene.two_words(8);
  if (depth && owner && is_count(*depth) && *owner % 64 == 0 && is_pointer(*owner)) {
    lock.type = "stdio stream";
    points += 2 * kSmallNumber;
  }
  scene.add(std::move(lock), points);
}

}  // namespace forkscope::layout
