// Locks of musl, Rust, parking_lot, libgomp, Abseil, CPython and the C++ libraries in memory.
#include "tests/unit/support/lock_scene.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

using enum LockFamily;
using enum Confidence;

constexpr std::uint32_t kWaiters = 0x80000000;

LockScene musl() {
  LockScene scene;
  scene.libc = Libc::kMusl;
  return scene;
}

/// One word, waited for as the Rust runtime does.
LockScene rust(std::uint32_t word, std::vector<std::string> functions = {}) {
  LockScene scene;
  if (!functions.empty()) functions.insert(functions.begin(), "syscall");
  return scene.put(0, word).waits().bitset().in(std::move(functions));
}

}  // namespace

TEST_CASE("a plain mutex of musl does not say who has it", "[layout][musl]") {
  const auto lock = musl().words({0, kWaiters | 16, 1}).waits(4).look();
  REQUIRE(lock.family == kMutex);
  REQUIRE(lock.confidence == kLikely);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.held);
  REQUIRE(lock.owner == 0);  // 16 is EBUSY, not a TID
}

TEST_CASE("other mutexes of musl have their owner in the word", "[layout][musl]") {
  auto lock = musl().words({1, kWaiters | kTid, 2}).waits(4).look();
  REQUIRE(lock.type == "recursive mutex");
  REQUIRE(lock.owner == std::int32_t(kTid));
  lock = musl().words({2 | 128, kWaiters | kTid, 1}).waits(4).shared().look();
  REQUIRE(lock.type == "error-checking mutex");
  REQUIRE(lock.process_shared);
  lock = musl().words({4, kWaiters | 0x40000000 | kTid, 1}).waits(4).look();
  REQUIRE(lock.robust);
  REQUIRE(lock.state == "its owner died with it");
}

TEST_CASE("musl's words are not read as glibc's, nor the other way round", "[layout][musl]") {
  LockScene scene;
  scene.words({2, 0, kTid, 1, 0}).waits();
  REQUIRE(scene.look().owner == std::int32_t(kTid));
  scene.libc = Libc::kMusl;
  REQUIRE(scene.look().owner == 0);
  auto other = musl().words({1, kWaiters | kTid, 2}).waits(4);
  other.libc = Libc::kGlibc;
  REQUIRE(other.look().owner == 0);
}

TEST_CASE("a waiter that musl moved to the mutex does not go on", "[layout][musl]") {
  auto scene = musl();
  scene.put(16, 1u).put(20, 2u).waits(20).put(20, 0u);  // signalled, its barrier open
  const auto lock = scene.in({"__timedwait_cp", "pthread_cond_timedwait"}).look();
  REQUIRE(lock.family == kCondition);
  REQUIRE(lock.confidence == kCertain);
  REQUIRE(lock.state == "signalled, and may have been moved to its mutex");
  scene.libc = Libc::kGlibc;
  REQUIRE(scene.look().state == "it has changed since: about to go on");
}

TEST_CASE("semaphores of musl before and since 1.2.4", "[layout][musl]") {
  for (std::uint32_t word : {0xffffffffu, kWaiters}) {
    const auto lock = musl().words({word, 1, 128}).waits().look();
    REQUIRE(lock.family == kSemaphore);
    REQUIRE(lock.confidence == kLikely);
    REQUIRE_FALSE(lock.process_shared);
  }
}

TEST_CASE("musl's internal lock and a read-write lock can have the same word", "[layout][musl]") {
  auto scene = musl().words({kWaiters | 2, 1, 0}).waits();
  REQUIRE(scene.look().confidence == kPossible);
  REQUIRE(scene.in({"__lock", "__tzset"}).look().family == kLibcLock);
  REQUIRE(scene.look().confidence == kCertain);
  REQUIRE(scene.in({"pthread_rwlock_timedwrlock"}).look().family == kRwlock);
  REQUIRE(scene.look().state == "2 readers");
  // A program's own function of that name is nothing.
  REQUIRE(scene.in({"lock"}).look().confidence == kPossible);
}

TEST_CASE("a Rust Mutex is a bare word: certain only with the function", "[layout][rust]") {
  REQUIRE(rust(2).look().family == kRustMutex);
  REQUIRE(rust(2).look().confidence == kPossible);
  for (const char* function : {"std::sys::sync::mutex::futex::Mutex::lock_contended",
                               "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
                               "std::sys::unix::locks::futex_mutex::Mutex::lock_contended",
                               "std::sys::pal::unix::locks::futex_mutex::Mutex::lock_contended"}) {
    INFO(function);
    const auto lock = rust(2, {"std::sys::futex::futex_wait", function}).look();
    REQUIRE(lock.family == kRustMutex);
    REQUIRE(lock.confidence == kCertain);
    REQUIRE(lock.held);
    REQUIRE(lock.owner == 0);
  }
}

TEST_CASE("a Rust RwLock says how it is held", "[layout][rust]") {
  constexpr std::uint32_t kReadersWait = 1u << 30, kWritersWait = 1u << 31,
                          kWritten = (1u << 30) - 1;
  const char* read = "std::sys::sync::rwlock::futex::RwLock::read_contended";
  const char* write = "std::sys::sync::rwlock::futex::RwLock::write_contended";
  auto lock = rust(kWritten | kReadersWait, {read}).look();
  REQUIRE(lock.family == kRustRwlock);
  REQUIRE(lock.confidence == kCertain);
  REQUIRE(lock.mode == "write");
  REQUIRE(lock.address == LockScene::kBase);
  // Readers and writers wait: the word a parked thread has as well.
  lock = rust(0xffffffff, {read}).look();
  REQUIRE(lock.family == kRustRwlock);
  REQUIRE(lock.mode == "write");
  REQUIRE(rust(0xffffffff).look().family == kRustParker);
  REQUIRE_FALSE(rust(0xffffffff).look().held);
  // A writer waits on the second word.
  LockScene scene;
  scene.words({kWritersWait | 2, 17}).waits(4).bitset().in({"syscall", write});
  lock = scene.look();
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.mode == "read");
  REQUIRE(lock.state == "2 readers");
  REQUIRE(lock.owner == 0);
}

TEST_CASE("a Rust Once of every version", "[layout][rust]") {
  for (std::uint32_t running : {3u, 5u, 6u}) {
    const auto lock = rust(running, {"std::sys::sync::once::futex::Once::call"}).look();
    REQUIRE(lock.family == kRustOnce);
    REQUIRE(lock.confidence == kCertain);
    REQUIRE(lock.held);
  }
  REQUIRE_FALSE(rust(4, {"std::sys::sync::once::futex::Once::wait"}).look().held);
}

TEST_CASE("what a Rust Once runs waits for something of its own", "[layout][rust]") {
  const auto lock = rust(2, {"std::sys::sync::mutex::futex::Mutex::lock_contended", "app::init",
                             "std::sys::sync::once::futex::Once::call"})
                        .look();
  REQUIRE(lock.family == kRustMutex);
}

TEST_CASE("a Rust Condvar is any word, and known by the function alone", "[layout][rust]") {
  for (std::uint32_t word : {0u, 1u, 2u, 77u, 0xffffffffu}) {
    const auto lock = rust(word, {"rayon_core::latch::LockLatch::wait_and_reset"}).look();
    INFO(word);
    REQUIRE((lock.family == kRustCondvar || (word == 2 && lock.family == kRustMutex)));
    REQUIRE(lock.confidence == kCertain);
  }
  REQUIRE(rust(77).look().family == kUnknown);
  REQUIRE(rust(77).look().confidence == kNone);
}

TEST_CASE("a Rust lock is never one of libc's", "[layout][rust]") {
  // The words of a mutex with an owner, but waited for through syscall().
  LockScene scene;
  scene.words({2, 0, kTid, 1, 0}).waits().in({"syscall", "app::work"});
  const auto lock = scene.look();
  REQUIRE(lock.family != kMutex);
  REQUIRE(lock.owner == 0);
}

TEST_CASE("parking_lot's parker leads to the lock", "[layout][rust]") {
  LockScene scene;
  scene.put(-32, std::uint64_t(0x5631df058dc1)).put(0, 1u).waits();
  scene.in({"syscall",
            "<parking_lot_core::thread_parker::imp::ThreadParker as "
            "parking_lot_core::thread_parker::ThreadParkerT>::park"});
  auto lock = scene.look();
  REQUIRE(lock.family == kParkingLot);
  REQUIRE(lock.confidence == kCertain);
  REQUIRE(lock.address == 0x5631df058dc0);
  REQUIRE(lock.owner == 0);
  // Not what the structure looks like: the word itself.
  scene.put(-32, std::uint64_t(1));
  REQUIRE(scene.look().address == LockScene::kBase);
}

TEST_CASE("a type of parking_lot in a function's name says nothing", "[layout][rust]") {
  LockScene scene;
  scene.put(0, 7u).waits().in({"syscall", "app::run<parking_lot::mutex::Mutex<i32>>"});
  REQUIRE(scene.look().family == kUnknown);
}

TEST_CASE("OpenMP barriers say how many have arrived", "[layout][gomp]") {
  LockScene scene;
  scene.words({8, 16}).put(64, 3u).put(68, 8u).waits(4);
  auto lock = scene.look();
  REQUIRE(lock.family == kGompBarrier);
  REQUIRE(lock.confidence == kLikely);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.state == "5 of 8 arrived");
  scene.put(64, 9u);  // more than there are
  scene.hint.module = "libgomp.so.1";
  REQUIRE(scene.look().confidence == kPossible);
}

TEST_CASE("OpenMP locks are -1 while somebody waits", "[layout][gomp]") {
  LockScene scene;
  scene.put(0, 0xffffffffu).waits();
  scene.hint.module = "libgomp.so.1";
  auto lock = scene.look();
  REQUIRE(lock.family == kGompLock);
  REQUIRE(lock.confidence == kLikely);
  REQUIRE(lock.held);
  REQUIRE(lock.owner == 0);
  scene.hint.module = "libapp.so";
  REQUIRE(scene.look().confidence == kPossible);
  REQUIRE(scene.in({"gomp_mutex_lock_slow"}).look().confidence == kCertain);
}

TEST_CASE("a module that only calls libgomp is not libgomp", "[layout][gomp]") {
  LockScene scene;
  scene.words({2, 0, kTid, 1, 0}).waits();
  scene.hint = {{"pthread_mutex_lock"}, "libc.so.6", "libgomp.so.1", ""};
  REQUIRE(scene.look().family == kMutex);
}

TEST_CASE("the guard of a static variable", "[layout][cxx]") {
  LockScene scene;
  scene.words({0x10100, 0}).waits().shared();
  auto lock = scene.look();
  REQUIRE(lock.family == kStaticGuard);
  REQUIRE(lock.confidence == kLikely);
  REQUIRE(lock.held);
  REQUIRE_FALSE(lock.process_shared);  // the operation is, the guard is not
  REQUIRE(scene.in({"syscall", "__cxa_guard_acquire", "f()"}).look().confidence == kCertain);
}

TEST_CASE("std::atomic::wait is any word, and known by the function alone", "[layout][cxx]") {
  LockScene scene;
  scene.put(0, 7u).waits();
  REQUIRE(scene.look().confidence == kNone);
  scene.in({"syscall", "void std::__atomic_wait_address_v<int, std::__atomic_base<int>::wait"});
  REQUIRE(scene.look().family == kAtomicWait);
  REQUIRE(scene.look().confidence == kCertain);
  REQUIRE_FALSE(scene.look().held);
}

TEST_CASE("Abseil's waiter", "[layout][cxx]") {
  LockScene scene;
  scene.waits().in({"syscall",
                    "absl::lts_20230125::synchronization_internal::Waiter::Wait("
                    "absl::lts_20230125::synchronization_internal::KernelTimeout)"});
  const auto lock = scene.look();
  REQUIRE(lock.family == kAbseil);
  REQUIRE(lock.confidence == kCertain);
  REQUIRE(scene.in({"syscall", "AbslInternalPerThreadSemWait_lts_20240722"}).look().family ==
          kAbseil);
}

TEST_CASE("Python's internal mutex is behind a semaphore of the waiter", "[layout][python]") {
  LockScene scene;  // struct wait_entry: the mutex's address, then the semaphore
  scene.put(-8, std::uint64_t(0x7f1234567810)).words({0, 1, 0, 0}).waits().bitset();
  scene.in({"sem_wait", "_PySemaphore_PlatformWait", "_PySemaphore_Wait", "_PyParkingLot_Park",
            "_PyMutex_LockTimed", "PyMutex_Lock"});
  auto lock = scene.look();
  REQUIRE(lock.family == kPyMutex);
  REQUIRE(lock.confidence == kCertain);
  REQUIRE(lock.address == 0x7f1234567810);
  REQUIRE(lock.held);
  REQUIRE(lock.owner == 0);
  // An event waits in the same place; nobody holds it.
  lock =
      scene.in({"sem_wait", "_PySemaphore_Wait", "_PyParkingLot_Park", "PyEvent_WaitTimed"}).look();
  REQUIRE(lock.family == kSemaphore);
  REQUIRE_FALSE(lock.held);
  // A lock of 3.12 is a semaphore.
  lock = scene.in({"sem_wait", "PyThread_acquire_lock_timed"}).look();
  REQUIRE(lock.family == kSemaphore);
  REQUIRE(lock.address == LockScene::kBase);
}

TEST_CASE("only what one thread must release is owned", "[layout]") {
  for (LockFamily owned : {kMutex, kRwlock, kOnce, kLibcLock, kStaticGuard, kRustMutex, kRustRwlock,
                           kRustOnce, kParkingLot, kGompLock, kPyMutex}) {
    INFO(int(owned));
    CHECK(is_owned(owned) == (owned != kParkingLot));
  }
  for (LockFamily event : {kUnknown, kCondition, kSemaphore, kBarrier, kJoin, kRustCondvar,
                           kRustParker, kAbseil, kGompBarrier, kAtomicWait}) {
    INFO(int(event));
    CHECK_FALSE(is_owned(event));
  }
}
