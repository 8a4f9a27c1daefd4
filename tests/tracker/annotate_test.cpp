// Locks of the program's own, as forkscope/annotate.h tells of them: what deadlocks in a forked
// child, and what must not be taken for a deadlock. This program has the interposers linked in, so
// the header finds them as it does under LD_PRELOAD.
#include <catch2/catch.hpp>
#include <atomic>
#include <cerrno>
#include <functional>
#include <latch>
#include <thread>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/registry.hpp"
#include "preload/include/forkscope/annotate.h"
#include "tests/tracker/child_status.hpp"

using namespace forkscope;

namespace {

/// One byte, as std::atomic_flag is. Two beside each other share a word.
class Spin {
 public:
  void lock() {
    FORKSCOPE_LOCK_ACQUIRING(this);
    while (flag_.test_and_set(std::memory_order_acquire)) std::this_thread::yield();
    FORKSCOPE_LOCK_ACQUIRED(this);
  }
  bool try_lock() {
    if (flag_.test_and_set(std::memory_order_acquire)) return false;
    FORKSCOPE_LOCK_ACQUIRED(this);
    return true;
  }
  void unlock() {
    FORKSCOPE_LOCK_RELEASING(this);
    flag_.clear(std::memory_order_release);
  }
  /// Repaired without a word to forkscope.
  void clear() { flag_.clear(std::memory_order_release); }

 private:
  std::atomic_flag flag_{};
};
static_assert(sizeof(Spin) == 1);

/// A thread that does `take` and lives until the end of the scope.
class Holder {
 public:
  explicit Holder(std::function<void()> take, std::function<void()> give = [] {})
      : thread_([this, take = std::move(take), give = std::move(give)] {
          take();
          has_it_.count_down();
          over_.wait();
          give();
        }) {
    has_it_.wait();
  }
  ~Holder() {
    over_.count_down();
    thread_.join();
  }

 private:
  std::latch has_it_{1}, over_{1};
  std::thread thread_;
};

std::ptrdiff_t recorded() {
  return detail::self->top - detail::self->slots + std::ptrdiff_t(detail::self->deep);
}

bool held_at_fork(const void* lock) {
  ForkHeld held = last_fork_held();
  for (std::uint32_t i = 0; i < held.count; ++i)
    if (held.locks[i].address == reinterpret_cast<std::uint64_t>(lock))
      return held.locks[i].type == record::LockType::kCustom;
  return false;
}

int take_and_give(Spin& spin) {
  spin.lock();
  spin.unlock();
  return 0;
}

}  // namespace

TEST_CASE("a lock of the program's own that a lost thread holds is a deadlock") {
  static Spin spins[4];
  Holder holder([&] { spins[1].lock(); }, [&] { spins[1].unlock(); });
  CHECK(child_status([&] { return take_and_give(spins[1]); }) == kDeadlock);
  CHECK(child_status([&] { return held_at_fork(&spins[1]) ? 0 : 1; }) == 0);
  // Its neighbours in the same word are other locks.
  for (int i : {0, 2, 3}) {
    CHECK(child_status([&] { return take_and_give(spins[i]); }) == 0);
    CHECK(child_status([&] { return held_at_fork(&spins[i]) ? 1 : 0; }) == 0);
  }
}

TEST_CASE("one that was taken by a try counts as well") {
  static Spin spin;
  Holder holder([&] { REQUIRE(spin.try_lock()); }, [&] { spin.unlock(); });
  CHECK(child_status([&] { return take_and_give(spin); }) == kDeadlock);
  CHECK(child_status([&] { return spin.try_lock() ? 1 : 0; }) == 0);
}

TEST_CASE("what was released before the fork is nobody's") {
  static Spin spin;
  Holder holder([&] { take_and_give(spin); });
  CHECK(child_status([&] { return held_at_fork(&spin) ? 1 : take_and_give(spin); }) == 0);
}

TEST_CASE("a child that repairs the lock goes on") {
  static Spin spin;
  Holder holder([&] { spin.lock(); }, [&] { spin.unlock(); });
  SECTION("by releasing it") {
    CHECK(child_status([&] {
            spin.unlock();
            return take_and_give(spin) | take_and_give(spin);
          }) == 0);
  }
  SECTION("by initialising it anew, and saying so") {
    CHECK(child_status([&] {
            spin.clear();
            FORKSCOPE_LOCK_FORGET(&spin);
            return take_and_give(spin) | take_and_give(spin);
          }) == 0);
  }
  SECTION("without a word: the lock's memory tells") {
    CHECK(child_status([&] {
            spin.clear();
            return take_and_give(spin) | take_and_give(spin);
          }) == 0);
  }
}

TEST_CASE("who was only on the way to the lock at the fork does not hold it") {
  static Spin spin;
  // As a thread that is between the two macros: nobody knows whether it has it.
  Holder holder([&] { FORKSCOPE_LOCK_ACQUIRING(&spin); }, [&] { FORKSCOPE_LOCK_GIVEN_UP(&spin); });
  CHECK(child_status([&] { return held_at_fork(&spin) ? 1 : take_and_give(spin); }) == 0);
}

TEST_CASE("a lock that one thread takes and another releases is never judged") {
  static Spin spin;
  Holder holder([&] { spin.lock(); });
  spin.unlock();  // handed over: the holder's table does not know
  CHECK(child_status([&] { return take_and_give(spin); }) == 0);
}

TEST_CASE("readers keep writers out, not readers") {
  static int lock = 0;
  Holder holder([&] { FORKSCOPE_LOCK_ACQUIRED_SHARED(&lock); },
                [&] { FORKSCOPE_LOCK_RELEASING(&lock); });
  CHECK(child_status([&] {
          FORKSCOPE_LOCK_ACQUIRING_SHARED(&lock);
          FORKSCOPE_LOCK_ACQUIRED_SHARED(&lock);
          FORKSCOPE_LOCK_RELEASING(&lock);
          return 0;
        }) == 0);
  CHECK(child_status([&] {
          FORKSCOPE_LOCK_ACQUIRING(&lock);
          return 0;
        }) == kDeadlock);
}

TEST_CASE("a writer keeps everybody out") {
  static int lock = 0;
  Holder holder([&] { FORKSCOPE_LOCK_ACQUIRED(&lock); }, [&] { FORKSCOPE_LOCK_RELEASING(&lock); });
  CHECK(child_status([&] {
          FORKSCOPE_LOCK_ACQUIRING_SHARED(&lock);
          return 0;
        }) == kDeadlock);
}

TEST_CASE("a lock the forking thread holds itself is no deadlock: it may be recursive") {
  static Spin spin;
  spin.lock();
  CHECK(child_status([&] {
          FORKSCOPE_LOCK_ACQUIRING(&spin);
          FORKSCOPE_LOCK_ACQUIRED(&spin);
          FORKSCOPE_LOCK_RELEASING(&spin);
          FORKSCOPE_LOCK_RELEASING(&spin);
          return 0;
        }) == 0);
  spin.unlock();
}

TEST_CASE("a table is as it was when everything is released, in whatever order") {
  static Spin spins[20];
  const std::ptrdiff_t before = recorded();
  for (Spin& spin : spins) spin.lock();
  CHECK(recorded() == before + 20);
  for (Spin& spin : spins) spin.unlock();  // not the newest first; more than have a stack
  CHECK(recorded() == before);
}

TEST_CASE("annotations leave errno alone") {
  static Spin spin;
  Holder holder([&] { spin.lock(); }, [&] { spin.unlock(); });
  errno = 4711;
  Spin other;
  take_and_give(other);
  FORKSCOPE_LOCK_NAME(&other, "other");
  FORKSCOPE_LOCK_FORGET(&other);
  FORKSCOPE_FORK_SAFE_BEGIN("because");
  FORKSCOPE_FORK_SAFE_END();
  CHECK(errno == 4711);
  CHECK(child_status([&] {
          errno = 4711;
          take_and_give(other);
          spin.unlock();
          take_and_give(spin);
          return errno == 4711 ? 0 : 1;
        }) == 0);
}

TEST_CASE("a child with other threads waits for a repair by one of them") {
  static Spin spin;
  Holder holder([&] { spin.lock(); }, [&] { spin.unlock(); });
  CHECK(child_status([&] {
          std::latch going(1);
          std::thread repairer([&] {
            going.wait();
            spin.clear();
          });
          going.count_down();
          take_and_give(spin);
          repairer.join();
          return 0;
        }) == 0);
}
