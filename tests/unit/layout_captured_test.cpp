// What real threads waited on, captured by tests/process/lock_capture: with the functions on their
// stacks, and from the bytes alone.
#include "tests/unit/support/lock_scene.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

using enum LockFamily;
using enum Confidence;

struct Capture {
  const char* name;
  LockFamily family;
  const char* type;
  Confidence named;    ///< with everything that was seen
  LockFamily unnamed;  ///< from the bytes alone
  Confidence alone;
  bool owned;  ///< the program's thread is in its words
  const char* mode = "";
};

const Capture kGlibc[] = {
    {"glibc-mutex", kMutex, "mutex", kCertain, kMutex, kLikely, true},
    {"glibc-recursive", kMutex, "recursive mutex", kCertain, kMutex, kLikely, true},
    {"glibc-errorcheck", kMutex, "error-checking mutex", kCertain, kMutex, kLikely, true},
    {"glibc-adaptive", kMutex, "adaptive mutex", kCertain, kMutex, kLikely, true},
    {"glibc-robust", kMutex, "robust mutex", kCertain, kMutex, kLikely, true},
    {"glibc-robust-recursive", kMutex, "robust recursive mutex", kCertain, kMutex, kLikely, true},
    {"glibc-shared-mutex", kMutex, "process-shared mutex", kCertain, kMutex, kLikely, true},
    {"glibc-inherit", kMutex, "priority-inheritance mutex", kCertain, kMutex, kLikely, true},
    {"glibc-inherit-recursive", kMutex, "priority-inheritance recursive mutex", kCertain, kMutex,
     kLikely, true},
    {"glibc-timed-mutex", kMutex, "mutex", kCertain, kMutex, kLikely, true},
    {"glibc-rwlock-read-write", kRwlock, "read-write lock", kCertain, kRwlock, kLikely, true,
     "write"},
    {"glibc-rwlock-write-write", kRwlock, "read-write lock", kCertain, kRwlock, kLikely, true,
     "write"},
    {"glibc-shared-rwlock", kRwlock, "read-write lock", kCertain, kRwlock, kLikely, true, "write"},
    {"glibc-rwlock-write-read", kRwlock, "read-write lock", kCertain, kRwlock, kLikely, false,
     "read"},
    {"glibc-rwlock-yield", kRwlock, "read-write lock", kCertain, kRwlock, kLikely, false, "read"},
    {"glibc-cond", kCondition, "condition variable", kCertain, kCondition, kLikely, false},
    {"glibc-shared-cond", kCondition, "condition variable", kCertain, kCondition, kLikely, false},
    {"glibc-cond-destroy", kCondition, "condition variable", kCertain, kCondition, kLikely, false},
    {"glibc-sem", kSemaphore, "semaphore", kCertain, kSemaphore, kPossible, false},
    {"glibc-shared-sem", kSemaphore, "semaphore", kCertain, kSemaphore, kPossible, false},
    {"glibc-barrier", kBarrier, "barrier", kCertain, kBarrier, kPossible, false},
    {"glibc-once", kOnce, "once flag", kCertain, kOnce, kPossible, false},
    {"glibc-join", kJoin, "thread", kCertain, kJoin, kLikely, true},
    {"glibc-stream", kLibcLock, "stdio stream", kCertain, kLibcLock, kPossible, false},
    {"glibc-loader", kLibcLock, "recursive mutex", kCertain, kMutex, kLikely, true},
    {"glibc-environment", kLibcLock, "lock inside libc", kCertain, kLibcLock, kPossible, false},
};

// musl as packaged has no symbols for what lies between: mostly the bytes speak.
const Capture kMusl[] = {
    {"musl-mutex", kMutex, "mutex", kLikely, kMutex, kLikely, false},
    {"musl-recursive", kMutex, "recursive mutex", kLikely, kMutex, kLikely, true},
    {"musl-errorcheck", kMutex, "error-checking mutex", kLikely, kMutex, kLikely, true},
    {"musl-robust", kMutex, "mutex", kLikely, kMutex, kLikely, true},
    {"musl-shared-mutex", kMutex, "mutex", kLikely, kMutex, kLikely, false},
    {"musl-rwlock-read-write", kRwlock, "read-write lock", kPossible, kRwlock, kPossible, false,
     "write"},
    {"musl-rwlock-write-read", kRwlock, "read-write lock", kPossible, kRwlock, kPossible, false,
     "read"},
    {"musl-rwlock-write-write", kRwlock, "read-write lock", kPossible, kRwlock, kPossible, false,
     "write"},
    {"musl-shared-rwlock", kRwlock, "read-write lock", kLikely, kRwlock, kLikely, false, "write"},
    {"musl-cond", kCondition, "condition variable", kPossible, kCondition, kPossible, false},
    {"musl-shared-cond", kCondition, "condition variable", kLikely, kCondition, kLikely, false},
    {"musl-sem", kSemaphore, "semaphore", kLikely, kSemaphore, kLikely, false},
    {"musl-shared-sem", kSemaphore, "semaphore", kPossible, kSemaphore, kPossible, false},
    {"musl-barrier", kBarrier, "barrier", kCertain, kUnknown, kNone, false},
    {"musl-once", kOnce, "once flag", kPossible, kOnce, kPossible, false},
    {"musl-stream", kLibcLock, "stdio stream", kLikely, kLibcLock, kPossible, true},
};

const Capture kRuntimes[] = {
    {"gcc-guard", kStaticGuard, "initialisation of the static variable", kCertain, kStaticGuard,
     kLikely, false},
    {"gcc-atomic-int", kAtomicWait, "atomic variable", kCertain, kUnknown, kNone, false},
    {"gcc-atomic-long", kAtomicWait, "atomic variable", kCertain, kUnknown, kNone, false},
    {"gcc-omp-barrier", kGompBarrier, "OpenMP barrier", kLikely, kGompBarrier, kPossible, false},
    {"gcc-omp-idle", kGompBarrier, "OpenMP barrier", kLikely, kGompBarrier, kLikely, false},
    {"gcc-omp-lock", kGompLock, "OpenMP lock", kLikely, kGompLock, kPossible, false},
    {"gcc-omp-critical", kGompLock, "OpenMP lock", kLikely, kGompLock, kPossible, false},
    {"abseil-mutex", kAbseil, "Abseil's waiter", kCertain, kAbseil, kLikely, false},
    {"abseil-notification", kAbseil, "Abseil's waiter", kCertain, kAbseil, kLikely, false},
    {"rust-mutex", kRustMutex, "Rust Mutex", kCertain, kRustMutex, kPossible, false},
    {"rust-rwlock-read", kRustRwlock, "Rust RwLock", kCertain, kRustRwlock, kPossible, false,
     "write"},
    {"rust-rwlock-write", kRustRwlock, "Rust RwLock", kCertain, kRustRwlock, kPossible, false,
     "read"},
    {"rust-condvar", kRustCondvar, "Rust Condvar", kCertain, kUnknown, kNone, false},
    {"rust-once", kRustOnce, "Rust Once", kCertain, kRustOnce, kPossible, false},
    {"rust-park", kRustParker, "Rust thread parker", kCertain, kRustParker, kPossible, false},
    {"rust-scope", kRustParker, "Rust thread parker", kCertain, kRustParker, kPossible, false},
    {"rust-channel", kRustParker, "Rust thread parker", kCertain, kRustParker, kPossible, false},
    {"crossbeam-channel", kRustParker, "Rust thread parker", kCertain, kRustParker, kPossible,
     false},
    {"parking-lot-mutex", kParkingLot, "parking_lot lock", kCertain, kOnce, kPossible, false},
    {"parking-lot-rwlock", kParkingLot, "parking_lot lock", kCertain, kOnce, kPossible, false},
    {"rayon-latch", kRustCondvar, "Rust Condvar", kCertain, kUnknown, kNone, false},
    {"rayon-idle", kRustCondvar, "Rust Condvar", kCertain, kUnknown, kNone, false},
};

void check(const Capture& capture) {
  const LockScene scene = captured(capture.name);
  INFO(capture.name);
  const auto lock = scene.look();
  CHECK(lock.family == capture.family);
  CHECK(lock.type == capture.type);
  CHECK(lock.confidence == capture.named);
  CHECK(lock.owner == (capture.owned ? scene.truth_owner : 0));
  CHECK(lock.mode == capture.mode);
  // musl's private condition variables and barriers are waited for on the stack.
  const bool elsewhere = scene.libc == Libc::kMusl &&
                         (capture.family == kCondition || capture.family == kBarrier) &&
                         !lock.process_shared;
  if (scene.truth_lock != 0 && !elsewhere) CHECK(lock.address == scene.truth_lock);

  const auto alone = scene.look_without_hint();
  CHECK(alone.family == capture.unnamed);
  CHECK(alone.confidence == capture.alone);
  CHECK((alone.owner == 0 || alone.owner == scene.truth_owner));
}

}  // namespace

TEST_CASE("captured locks of glibc", "[layout][captured]") {
  for (const Capture& capture : kGlibc) check(capture);
}

TEST_CASE("captured locks of musl", "[layout][captured]") {
  for (const Capture& capture : kMusl) check(capture);
}

TEST_CASE("captured locks of other run-time libraries", "[layout][captured]") {
  for (const Capture& capture : kRuntimes) check(capture);
}

TEST_CASE("what is captured says whether it is for several processes", "[layout][captured]") {
  for (const char* name :
       {"glibc-shared-mutex", "glibc-shared-rwlock", "glibc-shared-cond", "glibc-shared-sem",
        "musl-shared-mutex", "musl-shared-rwlock", "musl-shared-cond", "musl-shared-sem"}) {
    INFO(name);
    CHECK(captured(name).look().process_shared);
  }
  for (const char* name : {"glibc-mutex", "glibc-robust", "glibc-cond", "glibc-sem", "musl-sem",
                           "gcc-guard", "rust-mutex"}) {
    INFO(name);
    CHECK_FALSE(captured(name).look().process_shared);
  }
  CHECK(captured("glibc-robust").look().robust);
  CHECK(captured("musl-robust").look().robust);
}

TEST_CASE("with a public function's name alone a captured lock is certain", "[layout][captured]") {
  // As where libc has no debug file: inner functions are not named.
  struct Named {
    const char* name;
    const char* function;
    LockFamily family;
  };
  for (const Named& named :
       {Named{"glibc-mutex", "pthread_mutex_lock", kMutex},
        Named{"glibc-rwlock-write-read", "pthread_rwlock_wrlock", kRwlock},
        Named{"glibc-cond", "pthread_cond_wait", kCondition},
        Named{"glibc-cond-destroy", "pthread_cond_destroy", kCondition},
        Named{"glibc-sem", "sem_wait", kSemaphore},
        Named{"glibc-barrier", "pthread_barrier_wait", kBarrier},
        Named{"glibc-once", "pthread_once", kOnce}, Named{"glibc-join", "pthread_join", kJoin},
        Named{"musl-mutex", "pthread_mutex_timedlock", kMutex},
        Named{"musl-rwlock-write-read", "pthread_rwlock_timedwrlock", kRwlock},
        Named{"musl-cond", "pthread_cond_timedwait", kCondition},
        Named{"musl-sem", "sem_timedwait", kSemaphore}, Named{"musl-join", "pthread_join", kJoin},
        Named{"musl-once", "pthread_once", kOnce}, Named{"musl-stream", "__lockfile", kLibcLock}}) {
    LockScene scene = captured(named.name);
    INFO(named.name);
    scene.hint = {{"", named.function, "main"}, "libc.so.6", "program", ""};
    const auto lock = scene.look();
    CHECK(lock.family == named.family);
    CHECK(lock.confidence == kCertain);
  }
}
