// glibc's other locks in memory, word by word: what is recognised, what is refused.
#include "tests/unit/support/lock_scene.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

/// Words of pthread_rwlock_t as x86-64, AArch64 and RISC-V have it.
LockScene rwlock(std::uint32_t readers, std::uint32_t phase, std::uint32_t writers_futex,
                 std::uint32_t writer, std::uint32_t shared = 0, std::uint32_t flags = 0) {
  LockScene scene;
  scene.words({readers, 0, phase, writers_futex, 0, 0, writer, shared, 0, 0, 0, 0, flags});
  return scene;
}

/// pthread_cond_t up to 2.40: the sequence of waiters, the older group's start, references of both
/// groups, their sizes, original size, waiters, signals.
LockScene condition(std::uint64_t next, std::uint64_t first, std::uint32_t waiters,
                    std::uint32_t references0, std::uint32_t references1) {
  LockScene scene;
  scene.put(0, next << 1).put(8, first << 1);
  return scene.words({references0 << 1, references1 << 1, 0, 0, 0, waiters << 3, 0, 0}, 16);
}

}  // namespace

TEST_CASE("a read-write lock held by a writer", "[layout][glibc]") {
  auto scene = rwlock(1 | 2 | 1 << 3, 3, 1, kTid).waits(8).bitset();  // a reader waits
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kRwlock);
  REQUIRE(lock.confidence == Confidence::kLikely);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.mode == "write");
  REQUIRE(lock.held);
  REQUIRE(lock.owner == std::int32_t(kTid));
  REQUIRE(lock.state == "1 waiting reader");

  const auto other = rwlock(1 | 2, 1, 3, kTid).waits(12).bitset().look();  // a writer waits
  REQUIRE(other.owner == std::int32_t(kTid));
  REQUIRE(other.address == LockScene::kBase);
  REQUIRE(other.mode == "write");
}

TEST_CASE("a read-write lock held by readers has no owner", "[layout][glibc]") {
  auto lock = rwlock(2 | 3 << 3, 2, 1, 0).waits(8).bitset().look();  // the first writer waits
  REQUIRE(lock.family == LockFamily::kRwlock);
  REQUIRE(lock.mode == "read");
  REQUIRE(lock.held);
  REQUIRE(lock.owner == 0);
  REQUIRE(lock.state == "3 readers, a writer waits");

  // A reader that lets the writer go first waits on the readers' word.
  lock = rwlock(2 | 4 | 1 << 3, 2, 1, 0, 0, 2).waits(0).bitset().look();
  REQUIRE(lock.family == LockFamily::kRwlock);
  REQUIRE(lock.state == "1 reader, a writer waits");
}

TEST_CASE("a process-shared read-write lock", "[layout][glibc]") {
  const auto lock = rwlock(1 | 2, 1, 3, kTid, 1).waits(12).bitset().shared().look();
  REQUIRE(lock.family == LockFamily::kRwlock);
  REQUIRE(lock.process_shared);
}

TEST_CASE("architectures without a header of their own have a shorter read-write lock",
          "[layout][glibc]") {
  LockScene scene;  // flags and shared are bytes, the writer follows
  scene.words({1 | 2, 0, 1, 3, 0, 0, 0, kTid}).waits(12).bitset();
  scene.put(32, 0x1234567812345678ull);
  scene.abi = Abi::kGeneric64;
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kRwlock);
  REQUIRE(lock.owner == std::int32_t(kTid));
  scene.abi = Abi::kX86_64;
  REQUIRE(scene.look().owner == 0);
  // AArch64 and RISC-V agree with x86-64.
  auto wide = rwlock(1 | 2, 1, 3, kTid).waits(12).bitset();
  wide.abi = Abi::kGeneric64;
  REQUIRE(wide.look().owner == std::int32_t(kTid));
  auto same_mutex = mutex(1, 1);
  same_mutex.abi = Abi::kGeneric64;
  REQUIRE(same_mutex.look().owner == std::int32_t(kTid));
}

TEST_CASE("a condition variable up to 2.40", "[layout][glibc]") {
  for (int group : {0, 1}) {
    auto scene = condition(5, 3, 2, group == 0 ? 2 : 0, group == 1 ? 2 : 0);
    scene.waits(40 + 4 * group).bitset();
    const auto lock = scene.look();
    INFO(group);
    REQUIRE(lock.family == LockFamily::kCondition);
    REQUIRE(lock.confidence == Confidence::kLikely);
    REQUIRE(lock.address == LockScene::kBase);
    REQUIRE(lock.owner == 0);
    REQUIRE_FALSE(lock.held);
    REQUIRE(lock.state == "2 recorded waiters");
    const auto named = scene.in({"__futex_abstimed_wait_common", "pthread_cond_wait"}).look();
    REQUIRE(named.confidence == Confidence::kCertain);
  }
  // Nobody waits in it.
  REQUIRE(condition(5, 3, 0, 0, 0).waits(40).bitset().look().family != LockFamily::kCondition);
}

TEST_CASE("a condition variable since 2.41", "[layout][glibc]") {
  // No references; the start counts in ones, and signals count from its low half.
  LockScene scene;
  scene.put(0, std::uint64_t(9) << 1).put(8, std::uint64_t(6));
  scene.words({0, 0, 3 << 2, 1 << 3, 6, 0, 0, 0}, 16).waits(32).bitset();
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kCondition);
  REQUIRE(lock.confidence == Confidence::kLikely);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.state == "1 recorded waiter");
  // A signal that is there would not be waited for.
  scene.put(32, 7u).waits(32);
  REQUIRE(scene.look().family != LockFamily::kCondition);
}

TEST_CASE("destroying a condition variable waits for its waiters", "[layout][glibc]") {
  auto scene = condition(5, 3, 2, 0, 2);
  scene.put(36, 2u << 3 | 4).waits(36).in({"futex_wait", "__pthread_cond_destroy"});
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kCondition);
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.state == "2 waiters, being destroyed");
}

TEST_CASE("a signal up to 2.40 waits for those woken before", "[layout][glibc]") {
  auto scene = condition(5, 3, 2, 1, 1);
  scene.put(16, 1u << 1 | 1)
      .waits(16)
      .in({"__condvar_quiesce_and_switch_g1", "pthread_cond_signal"});
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kCondition);
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.state == "2 waiters, a signal waits for those woken before");
}

TEST_CASE("the lock inside a condition variable", "[layout][glibc]") {
  auto scene = condition(5, 3, 2, 1, 1);
  scene.put(32, 1u << 2 | 2).waits(32).in({"pthread_cond_broadcast"});
  REQUIRE(scene.look().state == "2 waiters, its internal lock is taken");
  REQUIRE(scene.look().owner == 0);
}

TEST_CASE("a semaphore with waiters", "[layout][glibc]") {
  LockScene scene;
  scene.words({0, 2, 0, 0}).waits().bitset();
  REQUIRE(scene.look().family == LockFamily::kSemaphore);
  REQUIRE(scene.look().confidence == Confidence::kPossible);
  scene.in({"__new_sem_wait_slow64.constprop.0", "sem_wait"});
  const auto lock = scene.look();
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.state == "its value is 0, 2 recorded waiters");
  REQUIRE_FALSE(lock.held);

  scene.put(8, 128u).shared();
  REQUIRE(scene.look().process_shared);
}

TEST_CASE("a barrier some have reached", "[layout][glibc]") {
  LockScene scene;
  scene.words({7, 6, 3, 0, 6}).waits(4).in({"pthread_barrier_wait"});
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kBarrier);
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.state == "1 of 3 arrived");
  REQUIRE_FALSE(lock.held);
  // All that make a round are there: they would not wait.
  scene.put(0, 9u);
  REQUIRE(scene.look().confidence == Confidence::kPossible);
}

TEST_CASE("a once flag carries how many forks lie behind", "[layout][glibc]") {
  for (std::uint32_t generation : {0u, 4u, 40u}) {
    LockScene scene;
    scene.put(0, generation | 1).waits();
    REQUIRE(scene.look().confidence == Confidence::kPossible);
    const auto lock = scene.in({"futex_wait_simple", "__pthread_once_slow"}).look();
    REQUIRE(lock.family == LockFamily::kOnce);
    REQUIRE(lock.confidence == Confidence::kCertain);
    REQUIRE(lock.held);
    REQUIRE(lock.owner == 0);
  }
}

TEST_CASE("what a once function waits for itself is not the once flag", "[layout][glibc]") {
  const auto lock = mutex(0).in({"", "", "init_library", "pthread_once", "main"}).look();
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kLikely);
}

TEST_CASE("a join waits on the descriptor of a thread", "[layout][glibc]") {
  LockScene scene;
  scene.put(-16, std::uint64_t(0x7f0000009000)).put(-8, std::uint64_t(0x7f0000009000));
  scene.words({kTid, 0}).put(8, LockScene::kBase + 16).put(16, LockScene::kBase + 16);
  scene.put(24, std::int64_t(-32)).waits().shared().bitset();
  auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kJoin);
  REQUIRE(lock.confidence == Confidence::kLikely);
  REQUIRE(lock.owner == std::int32_t(kTid));
  REQUIRE(scene.in({"__pthread_clockjoin_ex"}).look().confidence == Confidence::kCertain);

  // From 2.43 on a state is awaited: no TID.
  LockScene later;
  later.put(0, 2u).waits().shared().bitset().in({"pthread_join"});
  lock = later.look();
  REQUIRE(lock.family == LockFamily::kJoin);
  REQUIRE(lock.owner == 0);
}

TEST_CASE("locks inside libc are known by the function or the place", "[layout][glibc]") {
  LockScene scene;
  scene.put(0, 2u).waits();
  scene.in({"__lll_lock_wait_private", "__tz_convert"});
  auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kLibcLock);
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.held);

  scene.in({});
  scene.hint.address_module = "libc.so.6";
  lock = scene.look();
  REQUIRE(lock.family == LockFamily::kLibcLock);
  REQUIRE(lock.confidence == Confidence::kLikely);

  // A recursive mutex of the loader tells its owner.
  auto loader = mutex(1, 1);
  loader.hint.address_module = "ld-linux-x86-64.so.2";
  lock = loader.look();
  REQUIRE(lock.family == LockFamily::kLibcLock);
  REQUIRE(lock.owner == std::int32_t(kTid));
}

TEST_CASE("a mutex that ends in libc's own wait is a mutex", "[layout][glibc]") {
  const auto lock = mutex(0).in({"__lll_lock_wait_private", "pthread_mutex_lock"}).look();
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kCertain);
}

TEST_CASE("the lock of a stream has a depth and a thread's descriptor", "[layout][glibc]") {
  LockScene scene;
  scene.words({2, 1}).put(8, std::uint64_t(0x7f00000096c0)).waits();
  REQUIRE(scene.look().type == "stdio stream");
  const auto lock = scene.in({"__lll_lock_wait_private", "fputs"}).look();
  REQUIRE(lock.family == LockFamily::kLibcLock);
  REQUIRE(lock.type == "stdio stream");
  REQUIRE(lock.owner == 0);
}

TEST_CASE("32-bit processes are named by the function alone", "[layout]") {
  auto scene = mutex(0).in({"pthread_mutex_lock"});
  scene.abi = Abi::k32Bit;
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kPossible);
  REQUIRE(lock.owner == 0);
  REQUIRE_FALSE(lock.held);
}
