// Which threads that were not copied know of what a thread of the child waits on: a memory made by
// hand, with a heap, static data and the stacks of the child's thread and of a lost one.
#include "detector/inspect/wait_links.hpp"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <catch2/catch.hpp>

#include "tests/unit/support/python_process.hpp"

using namespace forkscope;
using forkscope::test::StretchMemory;

namespace {

constexpr std::uint64_t kBase = StretchMemory::kBase;
constexpr std::uint64_t kHeap = kBase + 0x1000, kData = kBase + 0x5000, kOwnStack = kBase + 0x6000,
                        kLostStack = kBase + 0x8000, kEnd = kBase + 0xa000;
constexpr std::uint64_t kOwnSp = kOwnStack + 0x800, kLostSp = kLostStack + 0x800;
constexpr const char* kProgram = "/opt/app";
constexpr std::int32_t kLost = 101, kChild = 200;

/// Static data: a variable of 256 bytes at each multiple of that.
class Variables final : public Namer {
 public:
  std::vector<Frame> code(std::uint64_t address, bool, const std::vector<ModuleRecord>&) override {
    Frame frame;
    frame.address = address;
    return {frame};
  }
  void data(LockInfo& lock, const std::vector<ModuleRecord>&) override {
    const std::uint64_t offset = lock.address - kData;
    lock.symbol = "variable" + std::to_string(offset / 256);
    if (offset % 256 != 0) lock.symbol += ".member";
  }
};

class Scene {
 public:
  Scene() : memory_(kEnd - kBase), parent_(kEnd - kBase) {
    ProcessEvidence& child = evidence_.process;
    child.pid = kChild;
    child.start = 10;
    child.exe = kProgram;
    const auto map = [&](std::uint64_t start, std::uint64_t end, const char* path) {
      Mapping mapping;
      mapping.start = start;
      mapping.end = end;
      mapping.readable = mapping.writable = true;
      mapping.path = path;
      child.mappings.push_back(mapping);
    };
    map(kHeap, kData, "[heap]");
    map(kData, kOwnStack, kProgram);
    map(kOwnStack, kLostStack, "[stack]");
    map(kLostStack, kEnd, "");
    ModuleRecord program;
    program.start = program.bias = kData;
    program.end = kOwnStack;
    program.path = kProgram;
    child.modules.push_back(program);

    ProcessEvidence parent;
    parent.pid = 100;
    parent.mappings = child.mappings;
    parent.threads = {thread(100, kOwnSp, SYS_pause, 0), thread(kLost, kLostSp, SYS_pause, 0)};
    evidence_.forker_own_tid = 100;
    evidence_.ancestors.push_back(parent);
  }

  /// The child's thread waits on the word.
  Scene& waits_on(std::uint64_t word) {
    evidence_.process.threads = {thread(kChild, kOwnSp, SYS_futex, word)};
    return *this;
  }
  /// The lost thread waits on the word as well.
  Scene& lost_waits_on(std::uint64_t word) {
    evidence_.ancestors[0].threads[1] = thread(kLost, kLostSp, SYS_futex, word);
    return *this;
  }
  /// Another lost thread, found before the first one.
  Scene& and_before(std::int32_t tid, std::uint64_t sp) {
    auto& threads = evidence_.ancestors[0].threads;
    threads.insert(threads.begin() + 1, thread(tid, sp, SYS_pause, 0));
    return *this;
  }
  Scene& put(std::uint64_t address, std::uint64_t value) {
    memory_.put(address, value);
    return *this;
  }
  /// In the memory of the parent, which is read from now on.
  Scene& put_in_parent(std::uint64_t address, std::uint64_t value) {
    parent_read_ = true;
    parent_.put(address, value);
    return *this;
  }
  /// What the lost thread and the one that has its stack now were started with.
  Scene& started_in(std::uint64_t lost, std::uint64_t own) {
    Frame frame;
    frame.address = lost;
    evidence_.ancestors[0].threads[1].start_routine = frame;
    frame.address = own;
    evidence_.process.threads[1].start_routine = frame;
    return *this;
  }
  /// As malloc() leaves it: sizes before the object and before the one that follows.
  Scene& allocates(std::uint64_t object, std::uint64_t size) {
    memory_.put<std::uint64_t>(object - 8, (size + 16) | 1);
    memory_.put<std::uint64_t>(object + size + 8, 0x21);
    return *this;
  }

  Scene& in_library() {
    evidence_.process.threads.front().stack.front().module = "/opt/libpool.so";
    return *this;
  }

  std::vector<WaitLink> links(const std::vector<LeftThread>& left = {}) {
    return wait_links(memory(), evidence_, left, names_);
  }
  /// Another thread of the child lives, on the stack that is the lost thread's in other scenes.
  Scene& beside(std::uint64_t its_word = 0) {
    evidence_.process.threads.push_back(
        thread(kChild + 1, kLostSp, its_word == 0 ? SYS_pause : SYS_futex, its_word));
    return *this;
  }
  /// The child's thread waits in a function that takes a lock.
  Scene& for_lock() {
    Frame lock;
    lock.module = "/usr/lib/libglib-2.0.so.0";
    lock.function = "g_mutex_lock";
    auto& stack = evidence_.process.threads.front().stack;
    stack.insert(stack.begin(), lock);
    return *this;
  }
  std::optional<std::vector<WaitLink>> living() {
    return living_links(memory(), evidence_, names_);
  }
  Scene& parent_gone() {
    evidence_.ancestors.clear();
    return *this;
  }

 private:
  static ThreadEvidence thread(std::int32_t tid, std::uint64_t sp, long call, std::uint64_t word) {
    ThreadEvidence thread;
    thread.tid = thread.own_tid = tid;
    thread.state = 'S';
    thread.settled = true;
    thread.start = 1;
    Frame caller;
    caller.module = kProgram;
    caller.function = "main";
    thread.stack = {caller};
    thread.call = SystemCall{call, {word, FUTEX_WAIT_PRIVATE, 0, 0, 0, 0}, sp, 0};
    return thread;
  }

  LinkMemory memory() { return {memory_, parent_read_ ? &parent_ : nullptr}; }

  StretchMemory memory_, parent_;
  bool parent_read_ = false;
  Evidence evidence_;
  Variables names_;
};

constexpr std::uint64_t kWord = kHeap + 0x210;

}  // namespace

TEST_CASE("links: nothing leads from the lost thread to a word of the child's own") {
  CHECK(Scene().waits_on(kWord).links().empty());
  CHECK(Scene().waits_on(kWord).put(kLostSp + 8, kHeap + 0x1000).links().empty());
  // Above its stack pointer, but not below: that is what was before.
  CHECK(Scene().waits_on(kWord).put(kLostSp - 16, kWord).links().empty());
  // The waiting thread's own stack says nothing.
  CHECK(Scene().waits_on(kWord).put(kOwnSp + 8, kWord).links().empty());
}

TEST_CASE("links: a pointer to the word, or to the start of its lock, on the lost thread's stack") {
  for (const std::uint64_t pointer : {kWord, kWord - 40}) {
    const auto links = Scene().waits_on(kWord).put(kLostSp + 64, pointer).links();
    REQUIRE(links.size() == 1);
    CHECK(links[0].waiter == kChild);
    CHECK(links[0].lost == kLost);
    CHECK(links[0].how == WaitLink::How::kStack);
  }
  CHECK(Scene().waits_on(kWord).put(kLostSp + 64, kWord + 8).links().empty());
  CHECK(Scene().waits_on(kWord).put(kLostSp + 64, kWord - 0x100).links().empty());
}

TEST_CASE("links: the object around the word is known by what malloc notes of it") {
  Scene scene;
  scene.waits_on(kWord).put(kLostSp + 64, kWord - 0x110).allocates(kWord - 0x110, 0x200);
  const auto links = scene.links();
  REQUIRE(links.size() == 1);
  CHECK(links[0].how == WaitLink::How::kHeap);
  // The same pointer, to an object that ends before the word.
  Scene shorter;
  shorter.waits_on(kWord).put(kLostSp + 64, kWord - 0x110).allocates(kWord - 0x110, 0x40);
  CHECK(shorter.links().empty());
}

TEST_CASE("links: pointers are followed from object to object") {
  const std::uint64_t pool = kHeap + 0x1010, task = kHeap + 0x2010;
  Scene scene;
  scene
      .waits_on(kOwnSp + 0x100)  // a latch on the waiter's stack, as a task knows it
      .allocates(pool, 0x100)
      .allocates(task, 0x40)
      .put(kLostSp + 128, pool)
      .put(pool + 0x80, task)
      .put(task + 0x18, kOwnSp + 0x100);
  REQUIRE(scene.links().size() == 1);
  CHECK(scene.put(pool + 0x80, 0).links().empty());
}

TEST_CASE("links: who has a pointer on its stack is named before who comes there by others") {
  const std::uint64_t pool = kHeap + 0x1010;
  constexpr std::int32_t kOther = 99;
  Scene scene;
  scene.waits_on(kWord)
      .allocates(pool, 0x100)
      .and_before(kOther, kOwnStack - 0x100)  // the stack ends with that mapping
      .put(kOwnStack - 0xf0, pool)
      .put(pool + 0x80, kWord);
  REQUIRE(scene.links().size() == 1);
  CHECK(scene.links()[0].lost == kOther);
  CHECK(scene.links()[0].how == WaitLink::How::kHeap);
  scene.put(kLostSp + 64, kWord);
  REQUIRE(scene.links().size() == 1);
  CHECK(scene.links()[0].lost == kLost);
  CHECK(scene.links()[0].how == WaitLink::How::kStack);
}

TEST_CASE("links: static data is told apart by its variables") {
  const std::uint64_t word = kData + 0x240;
  CHECK(Scene().waits_on(word).put(kLostSp + 8, kData + 0x200).links().size() == 1);
  CHECK(Scene().waits_on(word).put(kLostSp + 8, kData + 0x1f8).links().empty());
}

TEST_CASE("links: a library's own waits need none, and are not searched for") {
  CHECK(Scene().waits_on(kWord).in_library().put(kLostSp + 64, kWord).links().empty());
}

TEST_CASE("links: who waits on the same word wakes nobody") {
  Scene scene;
  scene.waits_on(kWord).put(kLostSp + 64, kWord);
  CHECK(scene.links().size() == 1);
  CHECK(scene.lost_waits_on(kWord).links().empty());
  CHECK(scene.lost_waits_on(kWord + 64).links().size() == 1);
}

TEST_CASE("links: of a parent that is gone the child's libc knows the stacks") {
  Scene scene;
  scene.waits_on(kWord).put(kLostSp + 64, kWord).parent_gone();
  CHECK(scene.links().empty());
  const auto links = scene.links({{0, 0, kLostSp + 0x400}});
  REQUIRE(links.size() == 1);
  CHECK(links[0].lost == 0);
}

TEST_CASE("links: who of the living may hold a lock that does not say so") {
  Scene scene;
  scene.waits_on(kWord).for_lock();
  CHECK_FALSE(scene.living());  // there is nobody else
  scene.beside();
  REQUIRE(scene.living());
  CHECK(scene.living()->empty());
  scene.put(kLostSp + 64, kWord);
  REQUIRE(scene.living()->size() == 1);
  CHECK(scene.living()->front().waiter == kChild);
  CHECK(scene.living()->front().lost == kChild + 1);
}

TEST_CASE("links: a stack that a thread of the child has now is read in the parent") {
  Scene scene;
  scene.waits_on(kWord).for_lock().beside().put(kLostSp + 64, kWord);
  CHECK(scene.links().empty());
  scene.put_in_parent(kLostSp + 128, kWord);
  REQUIRE(scene.links().size() == 1);
  CHECK(scene.links()[0].lost == kLost);
}

TEST_CASE("links: what a lost thread left on its stack is not known to the next one there") {
  Scene scene;
  scene.waits_on(kWord).for_lock().beside().put(kLostSp + 64, kWord).started_in(1, 2);
  CHECK(scene.living()->size() == 1);  // nobody knows who wrote it
  scene.put_in_parent(kLostSp + 64, kWord);
  CHECK(scene.living()->empty());
  // Written anew, to another place, or by one that does the same work.
  CHECK(scene.put(kLostSp + 128, kWord).living()->size() == 1);
  scene.put(kLostSp + 128, 0);
  REQUIRE(scene.living()->empty());
  CHECK(scene.started_in(2, 2).living()->size() == 1);
}

TEST_CASE("links: what libc's descriptor says is of the thread that is there") {
  Scene scene;
  constexpr std::uint64_t kArgument = kEnd - 0x100;
  scene.waits_on(kWord).for_lock().beside().started_in(1, 2);
  scene.put(kArgument, kWord).put_in_parent(kArgument, kWord);
  CHECK(scene.living()->size() == 1);
}

TEST_CASE("links: of an event it is not asked who of the living may cause it") {
  Scene scene;
  scene.waits_on(kWord).beside().put(kLostSp + 64, kWord);
  CHECK_FALSE(scene.living());
}

TEST_CASE("links: who waits for a lock has not that one, but perhaps another") {
  Scene same;
  same.waits_on(kWord).for_lock().beside(kWord).put(kLostSp + 64, kWord);
  CHECK(same.living()->empty());
  Scene other;
  other.waits_on(kWord).for_lock().beside(kWord + 64).put(kLostSp + 64, kWord);
  CHECK(other.living()->size() == 1);
}
