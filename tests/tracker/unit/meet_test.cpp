// The verdict in a forked child, asked for without interposers: the parent's threads tell the
// tracker what they take, the child asks before it would wait.
//
// The locks are static: a slot that is over goes on naming its lock, and whoever looks at the slot
// reads the lock's words, on whatever it lies by then.
#include <sched.h>
#include <semaphore.h>

#include <catch2/catch.hpp>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/lock_words.hpp"
#include "detector/tracker/orphan.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;
using record::Call;
using record::Evidence;
using record::Kind;
using record::LockType;
using test::findings_of_last_child;
using test::kDeadlock;
using test::Keeper;
using test::observed_child;

namespace {

void* here() { return __builtin_return_address(0); }

/// What an interposer does around the real call.
struct Taking {
  const void* lock;
  LockType type;
  std::uint8_t flags = 0;
  test::CallStack stack{};

  void begin() {
    if (type == LockType::kUnknown) {
      if (!table::push(*current(), lock, here(), stack.at()))
        table::push_deep(*current(), lock, here());
    } else {
      table::want(*current(), lock, type, flags, here(), stack.at());
    }
  }
  void done() const {
    if (type != LockType::kUnknown) table::settle(*current(), lock, true);
  }
  void end() const {
    if (type == LockType::kUnknown) {
      if (!table::pop(*current(), lock)) table::erase(*current(), lock);
    } else if (!table::release(*current(), lock)) {
      table::release_slowly(*current(), lock, false);
    }
  }
};

int met(const Met& met) { return met.finding != 0 ? 1 : met.wait_first ? 2 : 0; }

int meet(pthread_mutex_t& mutex, Call call = Call::kMutexLock) {
  return met(meet_mutex(*current(), &mutex, call, here(), false));
}
int meet(const void* lock, LockType type, std::uint8_t flags, Call call) {
  return met(meet_lock(*current(), lock, type, flags, call, here(), false));
}

/// A finding of that kind, by this evidence, and nothing else.
bool found(Kind kind, Evidence evidence, std::int32_t holder) {
  auto findings = findings_of_last_child();
  return findings.size() == 1 && findings[0].finding.kind == kind &&
         findings[0].finding.evidence == evidence && findings[0].finding.holder_tid == holder;
}

}  // namespace

TEST_CASE("a mutex of a lost thread is a deadlock to lock, a hazard to try") {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  Taking taking{&mutex, LockType::kUnknown};
  Keeper keeper([&] { taking.begin(), pthread_mutex_lock(&mutex); },
                [&] { taking.end(), pthread_mutex_unlock(&mutex); });
  CHECK(observed_child([&] { return meet(mutex); }) == kDeadlock);
  CHECK(found(Kind::kOrphanedLock, Evidence::kOwnerWord, keeper.tid()));
  CHECK(observed_child([&] { return meet(mutex, Call::kMutexTrylock); }) == 1);
  CHECK(findings_of_last_child().at(0).finding.severity == record::Severity::kHazard);
  CHECK(observed_child([&] {
          pthread_mutex_init(&mutex, nullptr);
          return meet(mutex);
        }) == 0);
  CHECK(observed_child([&] {
          ForkHeld held = last_fork_held();
          bool named = held.count == 1 && held.locks[0].owner == keeper.tid() &&
                       held.locks[0].address == reinterpret_cast<std::uint64_t>(&mutex);
          return named ? 0 : 1;
        }) == 0);
}

TEST_CASE("a mutex that the forking thread holds is its own, or stale where the type compares") {
  // ThreadSanitizer starts a thread of its own in the child of a process with one thread: then the
  // child would not be alone, as the verdict demands.
  Keeper bystander([] {}, [] {});
  for (int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE}) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    static pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attributes);
    Taking taking{&mutex, LockType::kUnknown};
    taking.begin(), pthread_mutex_lock(&mutex);
    CHECK(observed_child([&] { return meet(mutex); }) == kDeadlock);
    CHECK(found(type == PTHREAD_MUTEX_NORMAL ? Kind::kSelfHeldLock : Kind::kStaleOwner,
                type == PTHREAD_MUTEX_NORMAL ? Evidence::kOwnerWord : Evidence::kWrongOwner,
                libc_tid()));
    taking.end(), pthread_mutex_unlock(&mutex);
    CHECK(observed_child([&] { return meet(mutex); }) == 0);
    pthread_mutex_destroy(&mutex);
    pthread_mutexattr_destroy(&attributes);
  }
}

TEST_CASE("locks without owner word are judged by the tables of the lost threads") {
  static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  static pthread_spinlock_t spin;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  const void* spin_words = const_cast<const int*>(&spin);
  Taking reading{&rwlock, LockType::kRwlock, record::kLockReader};
  Taking spinning{spin_words, LockType::kSpinlock};
  Keeper keeper(
      [&] {
        reading.begin(), pthread_rwlock_rdlock(&rwlock), reading.done();
        spinning.begin(), pthread_spin_lock(&spin), spinning.done();
      },
      [&] {
        spinning.end(), pthread_spin_unlock(&spin);
        reading.end(), pthread_rwlock_unlock(&rwlock);
      });
  CHECK(observed_child([&] { return meet(&rwlock, LockType::kRwlock, 0, Call::kRwlockWrlock); }) ==
        kDeadlock);
  CHECK(found(Kind::kOrphanedLock, Evidence::kHolderTable, keeper.tid()));
  CHECK(observed_child([&] { return meet(spin_words, LockType::kSpinlock, 0, Call::kSpinLock); }) ==
        kDeadlock);
  CHECK(found(Kind::kOrphanedLock, Evidence::kHolderTable, keeper.tid()));
  CHECK(observed_child([&] {
          pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
          return meet(spin_words, LockType::kSpinlock, 0, Call::kSpinLock);
        }) == 0);
}

TEST_CASE("a lock whose taker the fork caught in between is judged as in transit") {
  static pthread_spinlock_t spin;
  pthread_spin_init(&spin, PTHREAD_PROCESS_PRIVATE);
  const void* words = const_cast<const int*>(&spin);
  Taking taking{words, LockType::kSpinlock};
  Keeper keeper([&] { taking.begin(), pthread_spin_lock(&spin); },
                [&] { taking.done(), taking.end(), pthread_spin_unlock(&spin); });
  CHECK(observed_child([&] {
          if (last_fork_held().count != 0) return 3;  // not sure enough for the list
          return meet(words, LockType::kSpinlock, 0, Call::kSpinLock);
        }) == kDeadlock);
  auto findings = findings_of_last_child();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].finding.evidence == Evidence::kInTransit);
  CHECK((findings[0].finding.lock_flags & record::kLockInTransit) != 0);
}

TEST_CASE("an rwlock's writer is named by the rwlock") {
  static pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  Taking writing{&rwlock, LockType::kRwlock};
  Keeper keeper([&] { writing.begin(), pthread_rwlock_wrlock(&rwlock), writing.done(); },
                [&] { writing.end(), pthread_rwlock_unlock(&rwlock); });
  CHECK(observed_child([&] {
          return meet(&rwlock, LockType::kRwlock, record::kLockReader, Call::kRwlockRdlock);
        }) == kDeadlock);
  CHECK(found(Kind::kOrphanedLock, Evidence::kOwnerWord, keeper.tid()));
}

TEST_CASE("a semaphore that a lost thread waited for last is evidence of a lock") {
  static sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  Taking taking{&semaphore, LockType::kSemaphore};
  {
    Keeper keeper(
        [&] {
          taking.begin();
          while (sem_wait(&semaphore) != 0) continue;
          taking.done();
        },
        [&] { taking.end(), sem_post(&semaphore); });
    CHECK(observed_child([&] {
            return met(meet_semaphore(*current(), &semaphore, Call::kSemWait, here()));
          }) == kDeadlock);
    CHECK(found(Kind::kOrphanedLock, Evidence::kWaitedLast, keeper.tid()));
    CHECK(observed_child([&] {
            sem_post(&semaphore);
            return met(meet_semaphore(*current(), &semaphore, Call::kSemWait, here()));
          }) == 0);
  }
  sem_destroy(&semaphore);
}

TEST_CASE("a wait that only lost threads could end never ends") {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  static pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  auto wait = [&] {
    return meet_condition(*current(), &condition, &mutex, Call::kCondWait, here()) != 0 ? 1 : 0;
  };
  {
    Keeper keeper([&] { note_signal(*current(), &condition); }, [] {});
    CHECK(observed_child(wait) == kDeadlock);
    CHECK(found(Kind::kLostThread, Evidence::kSameCondition, keeper.tid()));
    CHECK(observed_child([&] {
            WaitObject object{&barrier, lock_words::size(LockType::kBarrier), LockType::kBarrier};
            return meet_wait(*current(), object, Call::kBarrierWait, here()) != 0;
          }) == kDeadlock);
    CHECK(found(Kind::kLostThread, Evidence::kNobodyLeft, 0));
  }
  CHECK(observed_child(wait) == 0);  // nobody was lost who had to do with it
  pthread_barrier_destroy(&barrier);
}

TEST_CASE("destroying a condition variable that lost threads wait on never ends") {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  bool go = false;
  auto wait = [&] {  // as preload/cond_call.hpp
    pthread_mutex_lock(&mutex);
    current()->wait_object.store(&condition);
    while (!go) pthread_cond_wait(&condition, &mutex);
    current()->wait_object.store(nullptr);
    pthread_mutex_unlock(&mutex);
  };
  auto wake = [&] {
    pthread_mutex_lock(&mutex);
    go = true;
    pthread_cond_broadcast(&condition);
    pthread_mutex_unlock(&mutex);
  };
  pthread_t waiter;
  std::function<void()> body = [&] { test::attach_test_thread(), wait(); };
  REQUIRE(pthread_create(
              &waiter, nullptr,
              [](void* run) -> void* {
                (*static_cast<std::function<void()>*>(run))();
                return nullptr;
              },
              &body) == 0);
  while (!lock_words::condition_has_waiters(&condition)) sched_yield();
  CHECK(observed_child([&] {
          WaitObject object{&condition, 40, LockType::kCondition};
          return meet_waiters(*current(), object, Call::kCondDestroy, here()) != 0;
        }) == kDeadlock);
  CHECK(findings_of_last_child().at(0).finding.evidence == Evidence::kInheritedWaiters);
  wake();
  pthread_join(waiter, nullptr);
  CHECK(observed_child([&] {
          WaitObject object{&condition, 40, LockType::kCondition};
          return meet_waiters(*current(), object, Call::kCondDestroy, here()) != 0;
        }) == 0);
}

TEST_CASE("a child that nobody was lost to is asked for nothing") {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  CHECK(observed_child([&] {
          pthread_mutex_lock(&mutex);
          return meet(mutex) | int(current()->guarded);
        }) == 0);
  Session session = test::recorded();
  CHECK(session.skipped_bytes == 0);
  CHECK(session.counters.forks == session.forks.size());
}
