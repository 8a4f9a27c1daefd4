// What must hold for whatever bytes there are.
#include <random>

#include "tests/unit/support/lock_scene.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

/// Words as memory has them: mostly zeros and small numbers, some TIDs, pointers and noise.
std::uint32_t some_word(std::mt19937& random) {
  constexpr std::uint32_t kFavourites[] = {2, 0x80000002, 0xffffffff, 0x10100, 0x7fffffff, 128};
  switch (random() % 8) {
    case 0:
    case 1:
    case 2:
      return 0;
    case 3:
    case 4:
      return random() % 8;
    case 5:
      return random() % (1u << 22);
    case 6:
      return kFavourites[random() % std::size(kFavourites)];
    default:
      return std::uint32_t(random());
  }
}

LockScene some_scene(std::mt19937& random, bool plain_noise) {
  LockScene scene;
  scene.memory.front().bytes.resize(random() % 385);
  auto& bytes = scene.memory.front().bytes;
  for (std::size_t i = 0; i + 4 <= bytes.size(); i += 4) {
    const std::uint32_t word = plain_noise ? std::uint32_t(random()) : some_word(random);
    std::memcpy(bytes.data() + i, &word, 4);
  }
  scene.wait.address = LockScene::kBase + 4 * (random() % 64) - (random() % 16 == 0 ? 1 : 0);
  if (std::uint32_t word = 0;
      EvidenceMemory(scene.memory)
          .read(scene.wait.address, std::as_writable_bytes(std::span(&word, 1))))
    scene.wait.expected = word;
  scene.wait.is_private = random() % 4 != 0;
  scene.wait.bitset = random() % 2 == 0;
  scene.wait.timed = random() % 4 == 0;
  scene.wait.pi = random() % 8 == 0;
  constexpr Abi kAbis[] = {Abi::kX86_64, Abi::kGeneric64, Abi::k32Bit};
  constexpr Libc kLibcs[] = {Libc::kGlibc, Libc::kGlibc, Libc::kMusl, Libc::kUnknown};
  scene.abi = kAbis[random() % 3];
  scene.libc = kLibcs[random() % 4];
  return scene;
}

}  // namespace

TEST_CASE("without a function nothing is certain, and less than likely has no owner",
          "[layout][random]") {
  std::mt19937 random(20250607);
  int likely = 0, possible = 0;
  for (int i = 0; i < 60'000; ++i) {
    const LockScene scene = some_scene(random, false);
    const auto lock = scene.look();
    if (lock.confidence == Confidence::kCertain) FAIL("certain of bytes alone");
    if (lock.owner != 0 && lock.confidence < Confidence::kLikely) FAIL("an owner that is a guess");
    if (lock.owner < 0 || lock.owner > (1 << 22)) FAIL("an owner that is no TID");
    if (lock.family == LockFamily::kUnknown && lock.confidence != Confidence::kNone)
      FAIL("confident of nothing");
    if (lock.family != LockFamily::kUnknown && lock.type.empty()) FAIL("a lock without a name");
    likely += lock.confidence == Confidence::kLikely;
    possible += lock.confidence == Confidence::kPossible;
  }
  CHECK(possible > 1000);  // the bytes do exercise the readers
  CHECK(likely < 600);     // and hardly ever look like a whole lock
}

TEST_CASE("noise is never like a lock", "[layout][random]") {
  std::mt19937 random(1);
  for (int i = 0; i < 60'000; ++i) {
    const auto lock = some_scene(random, true).look();
    if (lock.confidence >= Confidence::kLikely) FAIL("noise is likely " << lock.type);
    if (lock.owner != 0) FAIL("noise has an owner");
  }
}

TEST_CASE("a function never makes an owner of what is contradicted", "[layout][random]") {
  const std::vector<std::string> functions[] = {
      {"pthread_mutex_lock"}, {"pthread_rwlock_rdlock"}, {"pthread_join"},           {"sem_wait"},
      {"pthread_cond_wait"},  {"syscall", "app"},        {"__lll_lock_wait_private"}};
  std::mt19937 random(2);
  for (int i = 0; i < 40'000; ++i) {
    LockScene scene = some_scene(random, i % 2 == 0);
    scene.in(functions[random() % std::size(functions)]);
    const auto lock = scene.look();
    if (lock.owner != 0 && lock.confidence < Confidence::kLikely) FAIL("an owner that is a guess");
    // A changed word is of no held lock, whoever asks.
    scene.wait.expected ^= 0x5a5a;
    scene.wait.pi = false;
    const auto changed = scene.look();
    if (changed.held || changed.owner != 0) FAIL("held by a word that has changed");
  }
}
