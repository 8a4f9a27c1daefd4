// Locks of Rust programs: the standard library's on Linux (library/std/src/sys/sync/*/futex.rs) and
// parking_lot's parker. Nothing in them says who holds them. The standard library waits with
// FUTEX_WAIT_BITSET through libc's syscall(), always private.
#include "detector/verdict/outside/layout_fit.hpp"

namespace forkscope::layout {
namespace {

constexpr std::uint32_t kParked = 0xffffffff;  // of the parker

void read_mutex(const Scene& scene) {
  // 0 free, 1 locked, 2 locked and waited for; then whether a holder panicked.
  if (scene.wait.expected != 2) return;
  auto poison = scene.byte(4);
  RecognisedLock lock = scene.lock(LockFamily::kRustMutex, "Rust Mutex");
  lock.held = true;
  scene.add(std::move(lock), kCommon + (poison && *poison <= 1 ? kZero : 0));
}

void describe_rwlock(RecognisedLock& lock, std::uint32_t state) {
  constexpr std::uint32_t kMask = (1u << 30) - 1;
  const std::uint32_t holders = state & kMask;
  lock.held = holders != 0;
  if (holders == kMask) {
    lock.mode = "write";
  } else if (holders != 0) {
    lock.mode = "read";
    lock.state = counted(holders, "reader");
  }
}

void read_rwlock(const Scene& scene) {
  // Two words: the state, which readers wait on, and a counter writers wait on. 30 bits count the
  // readers, all of them set is a writer; above them whether readers and writers wait.
  constexpr std::uint32_t kReadersWait = 1u << 30, kWritersWait = 1u << 31, kMask = (1u << 30) - 1;
  auto plausible = [](std::uint32_t state) {
    return (state & kMask) == kMask || (state & kMask) <= kMostThreads;
  };
  const std::uint32_t word = scene.wait.expected;
  if ((word & kReadersWait) != 0 && (word & kMask) != 0 && plausible(word)) {
    RecognisedLock lock = scene.lock(LockFamily::kRustRwlock, "Rust RwLock");
    describe_rwlock(lock, word);
    // Held by a writer, readers and writers wait: the same word as a parked thread's.
    scene.add(std::move(lock), word == kParked ? int(kZero) : int(kMark));
  }
  auto state = scene.word(-4);
  if (state && (*state & kWritersWait) != 0 && (*state & kMask) != 0 && plausible(*state)) {
    RecognisedLock lock = scene.lock(LockFamily::kRustRwlock, "Rust RwLock", -4);
    describe_rwlock(lock, *state);
    scene.add(std::move(lock), kMark);
  }
}

void read_once(const Scene& scene) {
  // Running and waited for is 3 up to 1.83, then 6, then 5; 4 and 7 are waits before it begins.
  const std::uint32_t word = scene.wait.expected;
  if (word < 3 || word > 7) return;
  RecognisedLock lock = scene.lock(LockFamily::kRustOnce, "Rust Once");
  const bool running = word == 3 || word == 5 || word == 6;
  lock.held = running;
  lock.state = running ? "its function is running" : "its function has not begun";
  scene.add(std::move(lock), kCommon);
}

}  // namespace

void read_rust(const Scene& scene) {
  if (!scene.wait.bitset || !scene.wait.is_private || scene.wait.pi) return;
  read_mutex(scene);
  read_rwlock(scene);
  read_once(scene);
  if (scene.wait.expected == kParked)
    scene.add(scene.lock(LockFamily::kRustParker, "Rust thread parker"), kMark);
  // A counter of notifications: every value is one.
  scene.add(scene.lock(LockFamily::kRustCondvar, "Rust Condvar"), kAnything);
}

void read_parking_lot(const Scene& scene) {
  // ThreadParker is 1 while its thread is parked. It lies in ThreadData (parking_lot_core), behind
  // the address of the lock, a link of the queue and two tokens; after it whether the park is
  // timed.
  if (scene.wait.expected != 1 || scene.wait.bitset || !scene.wait.is_private || scene.wait.pi)
    return;
  RecognisedLock lock = scene.lock(LockFamily::kParkingLot, "parking_lot lock");
  auto key = scene.two_words(-32), next = scene.two_words(-24);
  auto timed = scene.byte(4);
  int points = kAnything;
  if (key && next && timed && is_pointer(*key) && (*next == 0 || is_pointer(*next)) &&
      *timed == (scene.wait.timed ? 1 : 0)) {
    lock.address = *key & ~std::uint64_t(3);  // writers of a read-write lock queue one further on
    points = kAgrees;
  }
  scene.add(std::move(lock), points);
}

}  // namespace forkscope::layout
