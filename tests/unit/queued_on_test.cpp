// Which Abseil lock a thread is queued on: a memory made by hand, with a stack, two threads'
// identities and static data.
#include "detector/inspect/queued_on.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/support/python_process.hpp"

using namespace forkscope;
using forkscope::test::StretchMemory;

namespace {

constexpr std::uint64_t kBase = StretchMemory::kBase;
constexpr std::uint64_t kMine = kBase + 0x1000, kOther = kBase + 0x1200, kData = kBase + 0x3000,
                        kStack = kBase + 0x4000, kSp = kStack + 0x800, kEnd = kBase + 0x6000;
constexpr std::uint64_t kMutex = kData + 0x40, kCondition = kData + 0x80;

struct Scene {
  Scene() : memory(kEnd - kBase) {
    const auto map = [&](std::uint64_t start, std::uint64_t end) {
      Mapping mapping;
      mapping.start = start;
      mapping.end = end;
      mapping.writable = true;
      process.mappings.push_back(mapping);
    };
    map(kBase, kData);
    map(kData, kStack);
    map(kStack, kEnd);
    thread.call.emplace();
    thread.call->sp = kSp;
    wait.address = kMine + 64;
    wait.is_private = true;
    memory.put(kMine, kMine);  // alone in its ring
  }
  std::uint64_t lock() { return abseil_lock(memory, process, thread, wait); }

  StretchMemory memory;
  ProcessEvidence process;
  ThreadEvidence thread;
  FutexWait wait;
};

}  // namespace

TEST_CASE("the word that the stack points to and that points back is the lock", "[queued]") {
  Scene scene;
  scene.memory.put(kSp + 0x100, kMutex);
  scene.memory.put(kMutex, kMine | 0x4c);
  CHECK(scene.lock() == kMutex);
  scene.memory.put(kMutex, kOther | 0x4c);  // that is another thread's queue
  CHECK(scene.lock() == 0);
}

TEST_CASE("a lock's word names the last of those that wait", "[queued]") {
  Scene scene;
  scene.memory.put(kMine, kOther);
  scene.memory.put(kOther, kMine);
  scene.memory.put(kSp + 0x100, kMutex);
  scene.memory.put(kMutex, kOther | 0x4c);
  CHECK(scene.lock() == kMutex);
}

TEST_CASE("a condition variable has no flags, and a variable of the stack is none", "[queued]") {
  Scene scene;
  scene.memory.put(kSp + 0x80, kSp + 0x200);
  scene.memory.put(kSp + 0x200, kMine);
  CHECK(scene.lock() == 0);
  scene.memory.put(kSp + 0x100, kCondition);
  scene.memory.put(kCondition, kMine);
  CHECK(scene.lock() == kCondition);
}

TEST_CASE("a word that is in no ring is not Abseil's", "[queued]") {
  Scene scene;
  scene.memory.put(kSp + 0x100, kMutex);
  scene.memory.put(kMutex, kMine | 0x4c);
  for (std::uint64_t next : {std::uint64_t{0}, kMine + 8, std::uint64_t{0x10000}}) {
    scene.memory.put(kMine, next);
    CHECK(scene.lock() == 0);
  }
}
