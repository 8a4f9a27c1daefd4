// Mutexes of glibc in memory, word by word, and what holds for every lock that is recognised.
#include "tests/unit/support/lock_scene.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

void require_owned(const RecognisedLock& lock, const char* type) {
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kLikely);
  REQUIRE(lock.type == type);
  REQUIRE(lock.address == LockScene::kBase);
  REQUIRE(lock.held);
  REQUIRE(lock.owner == std::int32_t(kTid));
}

}  // namespace

TEST_CASE("a mutex with owner, users and a kind is one without any hint", "[layout][glibc]") {
  require_owned(mutex(0).look(), "mutex");
  require_owned(mutex(1, 3).look(), "recursive mutex");
  require_owned(mutex(2).look(), "error-checking mutex");
  require_owned(mutex(3).look(), "adaptive mutex");
  require_owned(mutex(256).look(), "mutex");  // elided before
  require_owned(mutex(512).look(), "mutex");  // never to be elided
}

TEST_CASE("a mutex reached by a function that waits for mutexes is certain", "[layout][glibc]") {
  for (const char* function :
       {"pthread_mutex_lock", "___pthread_mutex_lock", "__GI___pthread_mutex_lock", "mtx_lock",
        "pthread_cond_wait", "pthread_mutex_lock@@GLIBC_2.2.5", "__pthread_mutex_lock.part.0"}) {
    INFO(function);
    const auto lock = mutex(0).in({"futex_wait", "__lll_lock_wait", function, "main"}).look();
    REQUIRE(lock.family == LockFamily::kMutex);
    REQUIRE(lock.confidence == Confidence::kCertain);
    REQUIRE(lock.owner == std::int32_t(kTid));
  }
}

TEST_CASE("the kind of a mutex does not depend on its owner being recorded yet",
          "[layout][glibc]") {
  LockScene scene;
  scene.words({2, 1, 0, 1, 1}).waits();
  const auto lock = scene.in({"__lll_lock_wait", "pthread_mutex_lock", "main"}).look();
  REQUIRE(lock.confidence == Confidence::kCertain);
  REQUIRE(lock.type == "recursive mutex");
  REQUIRE(lock.owner == 0);
}

TEST_CASE("a process-shared mutex is waited for with the shared operation", "[layout][glibc]") {
  const auto lock = mutex(128).shared().look();
  require_owned(lock, "process-shared mutex");
  REQUIRE(lock.process_shared);
  REQUIRE(mutex(128).look().family != LockFamily::kMutex);
  REQUIRE(mutex(0).shared().look().family != LockFamily::kMutex);
}

TEST_CASE("a robust mutex has its owner in the lock word", "[layout][glibc]") {
  LockScene scene;
  scene.words({0x80000000 | kTid, 1, kTid, 1, 16 | 128}).waits().shared();
  scene.put(24, std::uint64_t(0x7f0000002000)).put(32, std::uint64_t(0x7f0000002000));
  const auto lock = scene.look();
  require_owned(lock, "robust mutex");
  REQUIRE(lock.robust);
  REQUIRE_FALSE(lock.process_shared);  // the bit is set in every robust one

  scene.put(0, 0xc0000000 | kTid).waits();
  REQUIRE(scene.look().state == "its owner died with it");
}

TEST_CASE("a priority-inheriting mutex is waited for in the kernel", "[layout][glibc]") {
  LockScene scene;
  scene.words({0x80000000 | kTid, 1, kTid, 1, 32}).waits().pi();
  scene.wait.expected = 0;  // not compared
  require_owned(scene.look(), "priority-inheritance mutex");
  scene.put(0, 0x80000000 | (kTid + 1));  // owner word of somebody else: not this structure
  REQUIRE(scene.look().family == LockFamily::kUnknown);
}

TEST_CASE("a priority-protected mutex keeps its ceiling in the lock word", "[layout][glibc]") {
  LockScene scene;
  scene.words({5u << 19 | 2, 0, kTid, 1, 64}).waits();
  require_owned(scene.look(), "priority-protected mutex");
}

TEST_CASE("words that no mutex has are refused", "[layout][glibc]") {
  auto refused = [](LockScene scene) {
    const auto lock = scene.look();
    return lock.family != LockFamily::kMutex && lock.owner == 0;
  };
  REQUIRE(refused(mutex(4)));                          // no such kind
  REQUIRE(refused(mutex(0xffffffff)));                 // destroyed
  REQUIRE(refused(mutex(64 | 32)));                    // two protocols
  REQUIRE(refused(mutex(0, 1)));                       // counted, but not recursive
  REQUIRE(refused(mutex(1, 0)) == false);              // recursive, in the instant before it counts
  REQUIRE(refused(mutex(0).put(8, 0x7fffffff)));       // no TID
  REQUIRE(refused(mutex(0).put(24, 0x123456789ull)));  // in a list, but not robust
  REQUIRE(refused(mutex(0).bitset()));                 // glibc never waits for one like that
  REQUIRE(refused(mutex(0).put(0, 1u).waits()));       // nobody waits
}

TEST_CASE("a bare 2 is a lock of some kind, with no owner", "[layout][glibc]") {
  LockScene scene;
  const auto lock = scene.put(0, 2u).waits().look();
  REQUIRE(lock.confidence == Confidence::kPossible);
  REQUIRE(lock.held);
  REQUIRE(lock.owner == 0);
}

TEST_CASE("a word that has changed is no held lock", "[layout][glibc]") {
  for (std::uint32_t now : {0u, 1u, 3u}) {
    auto scene = mutex(0);
    scene.put(0, now);
    const auto lock = scene.look();
    REQUIRE_FALSE(lock.held);
    REQUIRE(lock.owner == 0);
    REQUIRE(lock.state == "it has changed since: about to go on");
    const auto named = scene.in({"pthread_mutex_lock"}).look();
    REQUIRE(named.family == LockFamily::kMutex);
    REQUIRE(named.confidence == Confidence::kLikely);
    REQUIRE_FALSE(named.held);
    REQUIRE(named.owner == 0);
  }
}

TEST_CASE("memory that cannot be read leaves what the function says", "[layout][glibc]") {
  auto scene = mutex(0).in({"pthread_mutex_lock"});
  scene.memory.clear();
  const auto lock = scene.look();
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kLikely);
  REQUIRE(lock.owner == 0);
  REQUIRE_FALSE(lock.held);
  REQUIRE(scene.look_without_hint().confidence == Confidence::kNone);
}

TEST_CASE("a function that the bytes contradict is not believed", "[layout][glibc]") {
  LockScene scene;
  const auto lock = scene.words({7, 7, 7, 7, 7}).waits().in({"pthread_mutex_lock"}).look();
  REQUIRE(lock.family == LockFamily::kMutex);
  REQUIRE(lock.confidence == Confidence::kPossible);
  REQUIRE(lock.owner == 0);
  REQUIRE_FALSE(lock.held);
}

TEST_CASE("a mutex at the end of what was read is still one", "[layout][glibc]") {
  auto scene = mutex(0);
  scene.memory.front().bytes.resize(128 + 24);
  REQUIRE(scene.look().owner == std::int32_t(kTid));
  scene.memory.front().bytes.resize(128 + 16);  // its kind is not there
  REQUIRE(scene.look().owner == 0);
}

TEST_CASE("memory is read across the slices it comes in", "[layout][memory]") {
  std::vector<MemoryBytes> slices{{100, {std::byte{1}, std::byte{2}}},
                                  {102, {std::byte{3}, std::byte{4}}},
                                  {101, {std::byte{9}, std::byte{9}, std::byte{9}}}};
  const EvidenceMemory memory(slices);
  REQUIRE(memory.get<std::uint32_t>(100) == 0x04030201u);
  REQUIRE_FALSE(memory.get<std::uint32_t>(101).has_value());
  REQUIRE_FALSE(memory.get<std::uint32_t>(99).has_value());
  const std::vector<MemoryBytes> top{{UINT64_MAX - 1, {std::byte{1}, std::byte{2}}}};
  REQUIRE_FALSE(EvidenceMemory(top).get<std::uint32_t>(UINT64_MAX - 1).has_value());
}
