// The steps of the table one by one: what a fork in between would see.
#include <catch2/catch.hpp>
#include <cstring>
#include <memory>
#include <vector>

#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;
using record::LockType;

namespace {

std::unique_ptr<ThreadRecord> fresh() {
  auto thread = std::make_unique<ThreadRecord>();
  thread->top = thread->slots;
  thread->tid = libc_tid();
  return thread;
}

std::vector<std::pair<const void*, Hold>> entries(const ThreadRecord& thread) {
  std::vector<std::pair<const void*, Hold>> all;
  thread.each([&](const Recorded& one) {
    all.emplace_back(one.lock, one.hold);
    return true;
  });
  return all;
}

using Entries = std::vector<std::pair<const void*, Hold>>;

void* const kCaller = reinterpret_cast<void*>(0x5555'0000'1000);

}  // namespace

TEST_CASE("a lock without owner word is wanted, held, being released, and gone") {
  test::CallStack stack;
  auto thread = fresh();
  int first = 1, second = 1;
  auto want = [&](const int* lock) {
    table::want(*thread, lock, LockType::kSpinlock, 0, kCaller, stack.at());
  };
  want(&first);
  CHECK(entries(*thread) == Entries{{&first, Hold::kWanted}});
  table::settle(*thread, &first, true);
  CHECK(entries(*thread) == Entries{{&first, Hold::kHeld}});
  want(&second);
  CHECK(entries(*thread) == Entries{{&second, Hold::kWanted}, {&first, Hold::kHeld}});
  table::settle(*thread, &second, false);
  CHECK(entries(*thread) == Entries{{&first, Hold::kHeld}});
  CHECK(table::release(*thread, &first));
  CHECK(entries(*thread) == Entries{{&first, Hold::kReleasing}});
  CHECK(thread->empty());
  want(&second);
  CHECK(entries(*thread) == Entries{{&second, Hold::kWanted}});
}

TEST_CASE("a mutex is recorded before it is owned, and still above the top after its unlock") {
  test::CallStack stack;
  auto thread = fresh();
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  REQUIRE(table::push(*thread, &mutex, kCaller, stack.at()));
  CHECK(entries(*thread) == Entries{{&mutex, Hold::kOwnerWord}});
  CHECK_FALSE(table::pop(*thread, &stack));
  REQUIRE(table::pop(*thread, &mutex));
  CHECK(thread->empty());
  CHECK(entries(*thread) == Entries{{&mutex, Hold::kOwnerWord}});
}

TEST_CASE("a semaphore posted in the middle of the table leaves a gap that goes with its top") {
  test::CallStack stack;
  auto thread = fresh();
  std::vector<int> locks(kSlots + 6, 0);  // values: nobody else posted
  for (int& lock : locks) {
    table::want(*thread, &lock, LockType::kSemaphore, 0, kCaller, stack.at());
    table::settle(*thread, &lock, true);
  }
  REQUIRE(thread->deep == 6);
  for (std::size_t i = 3; i < locks.size(); i += 2)
    REQUIRE(table::release_slowly(*thread, &locks[i], true));
  for (std::size_t i = 0; i < locks.size(); ++i)
    CHECK(table::contains(*thread, &locks[i]) == (i < 3 || i % 2 == 0));
  for (std::size_t i = locks.size(); i-- > 0;)
    if (i < 3 || i % 2 == 0) REQUIRE(table::release_slowly(*thread, &locks[i], true));
  table::trim(*thread);
  CHECK(thread->empty());
  CHECK(entries(*thread).empty());
}

TEST_CASE("a thread's end leaves its locks, but not the semaphores it waited for") {
  test::CallStack stack;
  auto thread = fresh();
  std::vector<int> locks(2 * kSlots, 0);
  for (std::size_t i = 0; i < locks.size(); ++i) {
    LockType type = i % 2 == 0 ? LockType::kSemaphore : LockType::kSpinlock;
    table::want(*thread, &locks[i], type, 0, kCaller, stack.at());
    table::settle(*thread, &locks[i], true);
  }
  table::forget_semaphores(*thread);
  for (std::size_t i = 0; i < locks.size(); ++i)
    CHECK(table::contains(*thread, &locks[i]) == (i % 2 == 1));
}

TEST_CASE("what a forking thread has is inherited, what it takes afterwards is not") {
  test::CallStack stack;
  auto thread = fresh();
  std::vector<int> locks(kSlots + 4, 0);
  auto take = [&](const int& lock) {
    table::want(*thread, &lock, LockType::kSpinlock, 0, kCaller, stack.at());
    table::settle(*thread, &lock, true);
  };
  for (int& lock : locks) take(lock);
  table::mark_inherited(*thread);
  REQUIRE(table::release_slowly(*thread, &locks[2], false));
  take(locks[2]);
  int inherited = 0;
  thread->each([&](const Recorded& one) {
    bool marked = (one.flags & kInherited) != 0;
    CHECK(marked == (one.lock != &locks[2]));
    inherited += marked;
    return true;
  });
  CHECK(inherited == int(locks.size()) - 1);
}

TEST_CASE("the slice of a stack ends where its mapping ends") {
  test::CallStack stack;
  auto thread = fresh();
  for (std::size_t left : {8u, 16u, 40u, 80u, 296u, 304u, 512u}) {
    for (std::size_t i = 0; i < left / 8; ++i) stack.at(left)[i] = left + i;
    int lock = 0;
    table::want(*thread, &lock, LockType::kSpinlock, 0, kCaller, stack.at(left));
    const Slot& slot = thread->top[-1];
    CHECK(slot.sp() == reinterpret_cast<std::uintptr_t>(stack.at(left)));
    REQUIRE(slot.slice_size() <= left);
    // All there is, in pairs of words, unless the innermost frames suffice.
    CHECK(slot.slice_size() >= std::min(left / 16 * 16, kSlicePairs * 16));
    CHECK(std::memcmp(slot.slice, stack.at(left), slot.slice_size()) == 0);
    table::settle(*thread, &lock, false);
  }
  CHECK(thread->empty());
}

TEST_CASE("locks beyond the table are counted, and those that were unlocked are forgotten") {
  test::CallStack stack;
  auto thread = fresh();
  std::vector<pthread_mutex_t> mutexes(kSlots + kDeepSlots + 10, PTHREAD_MUTEX_INITIALIZER);
  for (pthread_mutex_t& mutex : mutexes) {
    if (!table::push(*thread, &mutex, kCaller, stack.at()))
      table::push_deep(*thread, &mutex, kCaller);
    mutex.__data.__owner = thread->tid;
  }
  CHECK(thread->dropped == 10);
  CHECK(thread->deep == kDeepSlots);
  for (std::size_t i = 0; i < mutexes.size(); i += 2) mutexes[i].__data.__owner = 0;
  table::forget_stale(*thread);
  CHECK(thread->top - thread->slots + thread->deep == (kSlots + kDeepSlots) / 2);
  for (std::size_t i = 1; i < kSlots + kDeepSlots; i += 2)
    CHECK(table::contains(*thread, &mutexes[i]));
}
