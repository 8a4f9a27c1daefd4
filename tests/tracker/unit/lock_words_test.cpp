// What the words of real locks of this libc say, in every state a lock can be in. Where a state has
// a thread that waits, the words themselves tell when it does.
#include <cxxabi.h>
#include <gnu/libc-version.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <string_view>
#include <thread>

#include "detector/tracker/lock_words.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;
using namespace forkscope::lock_words;
using record::LockType;
using test::Keeper;

namespace {

pthread_mutex_t made(int type, int robust = 0, int protocol = 0, int pshared = 0) {
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_settype(&attributes, type);
  pthread_mutexattr_setrobust(&attributes, robust);
  pthread_mutexattr_setprotocol(&attributes, protocol);
  pthread_mutexattr_setpshared(&attributes, pshared);
  pthread_mutex_t mutex;
  REQUIRE(pthread_mutex_init(&mutex, &attributes) == 0);
  pthread_mutexattr_destroy(&attributes);
  return mutex;
}

unsigned readers_word(const pthread_rwlock_t& lock) {
  return load<unsigned>(&lock.__data.__readers);
}

}  // namespace

TEST_CASE("an rwlock is taken from the first reader to the last, and a writer is named") {
  for (int kind : {PTHREAD_RWLOCK_PREFER_READER_NP, PTHREAD_RWLOCK_PREFER_WRITER_NP,
                   PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP}) {
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, kind);
    pthread_rwlock_t lock;
    pthread_rwlock_init(&lock, &attributes);
    CHECK_FALSE(rwlock_taken(&lock));
    CHECK(rwlock_writer(&lock) == 0);
    pthread_rwlock_rdlock(&lock);
    CHECK(rwlock_taken(&lock));
    CHECK(rwlock_writer(&lock) == 0);
    {
      Keeper other([&] { pthread_rwlock_rdlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
      CHECK(readers_word(lock) >> 3 == 2);
      pthread_rwlock_unlock(&lock);
      CHECK(rwlock_taken(&lock));
    }
    CHECK_FALSE(rwlock_taken(&lock));
    {
      Keeper writer([&] { pthread_rwlock_wrlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
      CHECK(rwlock_taken(&lock));
      CHECK(rwlock_writer(&lock) == writer.tid());
      CHECK(taken(&lock, LockType::kRwlock));
      CHECK(pthread_rwlock_tryrdlock(&lock) == EBUSY);
      CHECK(rwlock_writer(&lock) == writer.tid());
    }
    CHECK_FALSE(rwlock_taken(&lock));
    CHECK(rwlock_writer(&lock) == 0);
    pthread_rwlock_destroy(&lock);
    pthread_rwlockattr_destroy(&attributes);
  }
}

TEST_CASE("a writer that waits for readers is not the one that has the rwlock") {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_rwlock_rdlock(&lock);
  unsigned before = readers_word(lock);
  std::thread writer([&] {
    pthread_rwlock_wrlock(&lock);
    pthread_rwlock_unlock(&lock);
  });
  while (readers_word(lock) == before) sched_yield();  // it has announced itself
  CHECK(rwlock_taken(&lock));
  CHECK(rwlock_writer(&lock) == 0);
  pthread_rwlock_unlock(&lock);
  writer.join();
  CHECK_FALSE(rwlock_taken(&lock));
  pthread_rwlock_destroy(&lock);
}

TEST_CASE("a spin lock is taken while somebody has it, others waiting or not") {
  pthread_spinlock_t lock;
  pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  const void* words = const_cast<const int*>(&lock);
  CHECK_FALSE(taken(words, LockType::kSpinlock));
  pthread_spin_lock(&lock);
  CHECK(taken(words, LockType::kSpinlock));
  CHECK(pthread_spin_trylock(&lock) == EBUSY);
  CHECK(taken(words, LockType::kSpinlock));
  std::thread waiter([&] {
    pthread_spin_lock(&lock);
    pthread_spin_unlock(&lock);
  });
  CHECK(taken(words, LockType::kSpinlock));
  pthread_spin_unlock(&lock);
  waiter.join();
  CHECK_FALSE(taken(words, LockType::kSpinlock));
  pthread_spin_destroy(&lock);
}

TEST_CASE("a semaphore's value is what can be had at once") {
  for (int pshared : {0, 1}) {
    sem_t semaphore;
    sem_init(&semaphore, pshared, 2);
    for (std::uint32_t value : {2u, 1u, 0u}) {
      CHECK(semaphore_value(&semaphore) == value);
      CHECK(taken(&semaphore, LockType::kSemaphore) == (value == 0));
      CHECK((sem_trywait(&semaphore) == 0) == (value > 0));
    }
    std::thread waiter([&] {
      while (sem_wait(&semaphore) != 0) continue;
    });
    // struct new_sem: the upper half of the first word counts those that wait.
    while (load<std::uint32_t>(&semaphore, 4) == 0) sched_yield();
    CHECK(semaphore_value(&semaphore) == 0);
    sem_post(&semaphore);
    waiter.join();
    CHECK(semaphore_value(&semaphore) == 0);
    sem_post(&semaphore);
    CHECK_FALSE(taken(&semaphore, LockType::kSemaphore));
    sem_destroy(&semaphore);
  }
}

// ThreadSanitizer has guards and once flags of its own, with words of its own.
#ifndef __SANITIZE_THREAD__
TEST_CASE("a guard is taken while its variable is being initialised") {
  alignas(8) abi::__guard guard = 0;
  CHECK_FALSE(taken(&guard, LockType::kStaticGuard));
  REQUIRE(abi::__cxa_guard_acquire(&guard) == 1);
  CHECK(taken(&guard, LockType::kStaticGuard));
  abi::__cxa_guard_abort(&guard);
  CHECK_FALSE(taken(&guard, LockType::kStaticGuard));
  REQUIRE(abi::__cxa_guard_acquire(&guard) == 1);
  abi::__cxa_guard_release(&guard);
  CHECK_FALSE(taken(&guard, LockType::kStaticGuard));
  CHECK(abi::__cxa_guard_acquire(&guard) == 0);
}

TEST_CASE("a once flag is taken while its routine runs") {
  static pthread_once_t flag;
  static bool during;
  flag = PTHREAD_ONCE_INIT;
  CHECK_FALSE(taken(&flag, LockType::kOnce));
  pthread_once(&flag, [] { during = taken(&flag, LockType::kOnce); });
  CHECK(during);
  CHECK_FALSE(taken(&flag, LockType::kOnce));
}
#endif

TEST_CASE("a stream is taken while somebody has locked it, and says who") {
  FILE* stream = tmpfile();
  REQUIRE(stream != nullptr);
  CHECK_FALSE(taken(stream, LockType::kFile));
  flockfile(stream);
  flockfile(stream);
  CHECK(taken(stream, LockType::kFile));
  CHECK(file_lock(stream)->owner == reinterpret_cast<const void*>(pthread_self()));
  funlockfile(stream);
  CHECK(taken(stream, LockType::kFile));
  funlockfile(stream);
  CHECK_FALSE(taken(stream, LockType::kFile));
  {
    Keeper keeper([&] { flockfile(stream); }, [&] { funlockfile(stream); });
    CHECK(taken(stream, LockType::kFile));
    CHECK(file_lock(stream)->owner == reinterpret_cast<const void*>(keeper.handle()));
    CHECK(ftrylockfile(stream) != 0);
  }
  CHECK_FALSE(taken(stream, LockType::kFile));
  fclose(stream);
}

TEST_CASE("a barrier waits unless the arrival completes the round") {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 1);
  CHECK_FALSE(barrier_waits(&barrier));
  pthread_barrier_destroy(&barrier);
  pthread_barrier_init(&barrier, nullptr, 2);
  for (int round = 0; round < 3; ++round) {
    CHECK(barrier_waits(&barrier));
    std::thread other([&] { pthread_barrier_wait(&barrier); });
    while (barrier_waits(&barrier)) sched_yield();  // until it is there
    pthread_barrier_wait(&barrier);
    other.join();
  }
  CHECK(barrier_waits(&barrier));
  pthread_barrier_destroy(&barrier);
  pthread_barrierattr_t attributes;
  pthread_barrierattr_init(&attributes);
  pthread_barrierattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&barrier, &attributes, 2);
  CHECK_FALSE(barrier_waits(&barrier));  // others may arrive from elsewhere
  pthread_barrier_destroy(&barrier);
  pthread_barrierattr_destroy(&attributes);
}

TEST_CASE("a condition variable counts who waits at it") {
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  bool go = false;
  CHECK_FALSE(condition_has_waiters(&condition));
  std::thread waiter([&] {
    pthread_mutex_lock(&mutex);
    while (!go) pthread_cond_wait(&condition, &mutex);
    pthread_mutex_unlock(&mutex);
  });
  while (!condition_has_waiters(&condition)) sched_yield();
  CHECK_FALSE(condition_signal_blocks(&condition, false));
  CHECK_FALSE(condition_signal_blocks(&condition, true));
  pthread_mutex_lock(&mutex);
  go = true;
  pthread_cond_signal(&condition);
  pthread_mutex_unlock(&mutex);
  waiter.join();
  CHECK_FALSE(condition_has_waiters(&condition));
  pthread_cond_destroy(&condition);
  pthread_mutex_destroy(&mutex);
}

TEST_CASE("the words of a condition variable are where the libc that runs has them") {
  REQUIRE(condition_layout() != nullptr);
  if (std::string_view(gnu_get_libc_version()) == "2.36")
    CHECK(condition_layout() == &kConditionWithReferences);
  pthread_condattr_t attributes;
  pthread_condattr_init(&attributes);
  pthread_condattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_cond_t condition;
  pthread_cond_init(&condition, &attributes);
  CHECK(condition_is_shared(&condition));
  pthread_cond_destroy(&condition);
  condition = PTHREAD_COND_INITIALIZER;
  CHECK_FALSE(condition_is_shared(&condition));
  CHECK(condition_is_shared(&condition, nullptr));  // not known: nothing is said of it
  CHECK_FALSE(condition_has_waiters(&condition, nullptr));
}

TEST_CASE("each layout of a condition variable is read by its own words") {
  // __wseq 2, one waiter, and a __g_signals[1] that an older libc would take for waiters.
  const std::uint32_t since_2_41[12] = {2, 0, 0, 0, 0, 1, 0, 1u << 3, 0, 24, 0, 0};
  const std::uint32_t only_signals[12] = {2, 0, 0, 0, 0, 0, 0, 0, 0, 24, 0, 0};
  // __g_refs[0] 1, of the older group; one waiter in the younger, which a broadcast is for.
  const std::uint32_t until_2_40[12] = {3, 0, 0, 0, 1u << 1, 0, 0, 1, 0, 1u << 3, 0, 0};
  CHECK(condition_has_waiters(since_2_41, &kConditionWithoutReferences));
  CHECK_FALSE(condition_has_waiters(only_signals, &kConditionWithoutReferences));
  CHECK(condition_has_waiters(until_2_40, &kConditionWithReferences));
  CHECK(condition_signal_blocks(until_2_40, true, &kConditionWithReferences));
  CHECK_FALSE(condition_signal_blocks(since_2_41, true, &kConditionWithoutReferences));
  std::uint32_t locked[12];
  std::copy(std::begin(since_2_41), std::end(since_2_41), locked);
  locked[6] = 2;  // __g1_orig_size: the internal lock
  CHECK(condition_signal_blocks(locked, false, &kConditionWithoutReferences));
}

TEST_CASE("a mutex says its type, its attributes and its owner") {
  struct {
    int type;
    LockType expected;
    bool checks, recursive;
  } const types[] = {{PTHREAD_MUTEX_NORMAL, LockType::kMutexNormal, false, false},
                     {PTHREAD_MUTEX_RECURSIVE, LockType::kMutexRecursive, true, true},
                     {PTHREAD_MUTEX_ERRORCHECK, LockType::kMutexErrorcheck, true, false},
                     {PTHREAD_MUTEX_ADAPTIVE_NP, LockType::kMutexAdaptive, false, false}};
  for (const auto& one : types)
    for (int robust : {0, 1})
      for (int protocol : {PTHREAD_PRIO_NONE, PTHREAD_PRIO_INHERIT})
        for (int pshared : {0, 1}) {
          pthread_mutex_t mutex = made(one.type, robust, protocol, pshared);
          MutexWords words(&mutex);
          CHECK(words.type() == one.expected);
          CHECK(words.checks_owner() == one.checks);
          CHECK(words.recursive() == one.recursive);
          CHECK(words.compares_owner() == (one.checks || robust != 0 || protocol != 0));
          // libc marks robust ones as well (nptl/pthread_mutex_init.c): their list is the kernel's.
          bool marked = pshared != 0 || robust != 0;
          CHECK(words.pshared() == marked);
          CHECK(words.flags() ==
                ((robust != 0 ? record::kLockRobust : 0) | (protocol != 0 ? record::kLockPi : 0) |
                 (pshared != 0 && robust == 0 ? record::kLockPshared : 0)));
          CHECK(words.plausible());
          CHECK(words.owner() == 0);
          {
            Keeper keeper([&] { pthread_mutex_lock(&mutex); },
                          [&] { pthread_mutex_unlock(&mutex); });
            CHECK(words.owner() == keeper.tid());
            CHECK(words.lock_word() != 0);
          }
          CHECK(words.owner() == 0);
          CHECK(words.lock_word() == 0);
          CHECK(pthread_mutex_destroy(&mutex) == 0);
          CHECK_FALSE(words.plausible());
        }
}

TEST_CASE("a recursive mutex counts its levels") {
  pthread_mutex_t mutex = made(PTHREAD_MUTEX_RECURSIVE);
  MutexWords words(&mutex);
  for (unsigned level = 1; level <= 3; ++level) {
    pthread_mutex_lock(&mutex);
    CHECK(words.count() == level);
    CHECK(words.owner() == libc_tid());
  }
  for (int level = 0; level < 3; ++level) pthread_mutex_unlock(&mutex);
  CHECK(words.owner() == 0);
  pthread_mutex_destroy(&mutex);
}
