// Locks of other run-time libraries: libgomp, Abseil, the C++ libraries' guards and atomic waits,
// CPython's parking lot.
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {
namespace {

/// gomp_barrier_t (libgomp/config/linux/bar.h): the size of the team, the generation, which is
/// awaited, and in the next cache line how many have not arrived, twice: of the round and of the
/// last one.
void read_gomp_barrier(const Scene& scene) {
  constexpr std::uint32_t kFlags = 7;  // of the generation: tasks wait, was cancelled, ...
  auto total = scene.word(-4), awaited = scene.word(60), last = scene.word(64);
  if (!scene.aligned(-4, 16) || !total || !awaited || !last || !is_count(*total)) return;
  if (*awaited == 0 || *awaited > *total || *last > *total) return;
  RecognisedLock lock = scene.lock(LockFamily::kGompBarrier, "OpenMP barrier", -4);
  int points = 2 * kSmallNumber;
  if (*last == *total) points += kSmallNumber;
  if ((scene.wait.expected & ~kFlags) != 0) points += kSmallNumber;
  lock.state = std::to_string(*total - *awaited) + " of " + std::to_string(*total) + " arrived";
  scene.add(std::move(lock), points);
}

}  // namespace

void read_libgomp(const Scene& scene) {
  if (!scene.plain_untimed() || !scene.wait.is_private || scene.wait.pi) return;
  read_gomp_barrier(scene);
  // gomp_mutex_t, omp_lock_t and critical sections: 0, 1, -1.
  if (scene.wait.expected == 0xffffffff) {
    RecognisedLock lock = scene.lock(LockFamily::kGompLock, "OpenMP lock");
    lock.held = true;
    scene.add(std::move(lock), kMark);
  }
  // gomp_ptrlock_t: a pointer that is 1 or 2 while the first thread makes what it will point to.
  if (scene.wait.expected == 2) {
    RecognisedLock lock = scene.lock(LockFamily::kGompLock, "OpenMP lock");
    lock.held = true;
    scene.add(std::move(lock), kAnything);
  }
  // gomp_sem_t: the sign says that somebody waits.
  if (scene.wait.expected == 0x80000000)
    scene.add(scene.lock(LockFamily::kSemaphore, "OpenMP semaphore"), kAnything);
}

void read_abseil(const Scene& scene) {
  // How often its thread was woken, waited for while 0. It lies in ThreadIdentity, which begins at
  // a multiple of 256 with the link of a circular queue.
  if (scene.wait.expected != 0 || !scene.wait.is_private || scene.wait.pi) return;
  const std::uint64_t identity = scene.wait.address & ~std::uint64_t(255);
  auto next = scene.two_words(std::int64_t(identity - scene.wait.address));
  const bool alone = next && *next == identity && scene.wait.address != identity;
  scene.add(scene.lock(LockFamily::kAbseil, "Abseil's waiter"),
            alone ? int(kSelfPointer) : int(kAnything));
}

void read_static_guard(const Scene& scene) {
  // libstdc++ (libsupc++/guard.cc): byte 0 done, byte 1 being initialised, byte 2 waited for; the
  // operation is the shared one.
  if (scene.wait.expected != 0x10100 || !scene.plain_untimed() || scene.wait.pi) return;
  if (!scene.aligned(0, 8)) return;
  auto rest = scene.word(4);
  if (!rest || *rest != 0) return;
  RecognisedLock lock = scene.lock(LockFamily::kStaticGuard, "initialisation of the static variable");
  lock.held = true;
  scene.add(std::move(lock), 2 * kMark + kAgrees + kZero);
}

void read_atomic_wait(const Scene& scene) {
  // libstdc++ waits on an int itself, for others on a counter of a table: waiters, 64 further on
  // the counter. libc++ does the same with 64-bit counters.
  // Older ones wait with the shared operation.
  if (scene.wait.bitset || scene.wait.pi) return;
  RecognisedLock lock = scene.lock(LockFamily::kAtomicWait, "atomic variable");
  auto waiters = scene.word(-64);
  if (scene.aligned(0, 64) && waiters && is_count(*waiters))
    lock.state = "through a counter several variables share";
  scene.add(std::move(lock), kAnything);
}

void read_python(const Scene& scene) {
  // struct wait_entry (Python/parking_lot.c) lies on the stack of the waiting thread: an argument,
  // the address of the mutex, the semaphore.
  if (scene.wait.expected != 0 || scene.wait.pi || !scene.wait.is_private) return;
  auto waiters = scene.word(4), shared = scene.word(8);
  auto mutex = scene.two_words(-8);
  if (!waiters || !shared || *waiters != 1 || *shared != 0) return;
  RecognisedLock lock = scene.lock(LockFamily::kPyMutex, "Python's internal mutex");
  if (mutex && is_pointer(*mutex)) lock.address = *mutex;
  lock.held = true;
  scene.add(std::move(lock), kAnything);
}

}  // namespace forkscope::layout
