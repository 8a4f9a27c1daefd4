// What must not be judged, or recorded, for ever: locks made anew at an old address, freed,
// repaired, handed over, left by a longjmp; and calls that a signal may end.
#include <limits.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/time.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/orphan.hpp"
#include "detector/tracker/registry.hpp"
#include "tests/tracker/child_status.hpp"

using namespace forkscope;

namespace {

/// A thread of the parent that stays until the end of the scope, after having done something.
class Bystander {
 public:
  template <typename First>
  explicit Bystander(First&& first) {
    pthread_barrier_init(&step_, nullptr, 2);
    thread_ = std::thread([this, first] {
      first();
      pthread_barrier_wait(&step_);
      pthread_barrier_wait(&step_);
    });
    pthread_barrier_wait(&step_);
  }
  ~Bystander() {
    pthread_barrier_wait(&step_);
    thread_.join();
    pthread_barrier_destroy(&step_);
  }

 private:
  pthread_barrier_t step_;
  std::thread thread_;
};

std::ptrdiff_t recorded() {
  return detail::self->top - detail::self->slots + std::ptrdiff_t(detail::self->deep);
}

}  // namespace

TEST_CASE("a lock that the child made anew belongs to the thread of the child that has it") {
  pthread_spinlock_t spin;
  pthread_spin_init(&spin, 0);
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  Bystander holder([&] {
    pthread_spin_lock(&spin);
    pthread_rwlock_rdlock(&rwlock);
  });
  CHECK(child_status([&] {
          pthread_spin_init(&spin, 0);
          pthread_rwlock_init(&rwlock, nullptr);
          pthread_barrier_t step;
          pthread_barrier_init(&step, nullptr, 2);
          std::thread own([&] {
            pthread_spin_lock(&spin);
            pthread_rwlock_rdlock(&rwlock);
            pthread_barrier_wait(&step);
            // Longer than the patience of a verdict: nothing else may end the wait of the other.
            timespec longer{kPatienceSeconds + 1, 0};
            nanosleep(&longer, nullptr);
            pthread_rwlock_unlock(&rwlock);
            pthread_spin_unlock(&spin);
          });
          pthread_barrier_wait(&step);
          int result = pthread_rwlock_wrlock(&rwlock) | pthread_spin_lock(&spin);
          own.join();
          return result;
        }) == 0);
}

TEST_CASE("a semaphore that the child made is none that a lost thread waited for") {
  sem_t semaphore;
  sem_init(&semaphore, 0, 1);
  Bystander holder([&] { sem_wait(&semaphore); });
  CHECK(child_status([&] {
          sem_init(&semaphore, 0, 0);
          alarm(1);  // SIGALRM: it does wait, until that ends the process
          return sem_wait(&semaphore);
        }) == 128 + SIGALRM);
}

TEST_CASE("a barrier that the child made may be destroyed, whoever waited at the old one") {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  std::thread waiter([&] { pthread_barrier_wait(&barrier); });
  auto waits = [&] {
    bool found = false;
    registry.each([&](const ThreadRecord& thread) {
      found = found || thread.wait_object.load() == &barrier;
      return true;
    });
    return found;
  };
  while (!waits()) sched_yield();
  CHECK(child_status([&] {
          pthread_barrier_init(&barrier, nullptr, 2);
          return pthread_barrier_destroy(&barrier);
        }) == 0);
  pthread_barrier_wait(&barrier);
  waiter.join();
}

TEST_CASE("a time limit that is none is refused as ever in a child that lost threads") {
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  sem_t semaphore;
  sem_init(&semaphore, 0, 0);
  Bystander bystander([] {});
  const timespec never{0, -1};
  CHECK(child_status([&] { return pthread_rwlock_timedwrlock(&rwlock, &never); }) == EINVAL);
  CHECK(child_status([&] { return pthread_rwlock_timedrdlock(&rwlock, &never); }) == EINVAL);
  CHECK(child_status([&] { return sem_timedwait(&semaphore, &never) == -1 ? errno : 0; }) ==
        EINVAL);
}

TEST_CASE("a wait that a timer's signal ends is none for ever") {
  static sem_t jobs;
  sem_init(&jobs, 0, 0);
  std::thread consumer([] {
    while (sem_wait(&jobs) != 0) continue;
    while (sem_wait(&jobs) != 0) continue;
  });
  sem_post(&jobs);
  for (int value = 1; value != 0;) sem_getvalue(&jobs, &value);
  CHECK(child_status([] {
          struct sigaction action {};
          action.sa_handler = [](int) {};
          sigaction(SIGALRM, &action, nullptr);
          ualarm(20'000, 0);
          return sem_wait(&jobs) == -1 ? errno : 0;
        }) == EINTR);
  sem_post(&jobs);
  consumer.join();
}

TEST_CASE("a call that longjmp left is forgotten when the table fills") {
  static sem_t never;
  static sigjmp_buf back;
  sem_init(&never, 0, 0);
  struct sigaction action {
  }, old{};
  action.sa_handler = [](int) { siglongjmp(back, 1); };
  sigaction(SIGALRM, &action, &old);
  for (int i = 0; i < 30; ++i) {
    if (sigsetjmp(back, 1) != 0) continue;
    ualarm(1000, 0);
    sem_wait(&never);
  }
  sigaction(SIGALRM, &old, nullptr);
  pthread_rwlock_t locks[40];
  for (pthread_rwlock_t& lock : locks) {
    pthread_rwlock_init(&lock, nullptr);
    pthread_rwlock_rdlock(&lock);
  }
  CHECK(child_status([&] {
          ForkHeld held = last_fork_held();
          int found = 0;
          for (std::uint32_t i = 0; i < held.count; ++i)
            found += held.locks[i].type == record::LockType::kRwlock;
          return found;
        }) == 40);
  for (pthread_rwlock_t& lock : locks) pthread_rwlock_unlock(&lock);
}

TEST_CASE("a stream that was closed while it was locked is not followed into what is there now") {
  const auto before = recorded();
  FILE* stream = tmpfile();
  REQUIRE(stream != nullptr);
  flockfile(stream);
  // A stream is the first part of what libc allocated for it: only blocks of the whole size have its
  // memory again, whatever is free besides.
  const std::size_t size = malloc_usable_size(stream);
  const auto address = reinterpret_cast<std::uintptr_t>(stream);
  fclose(stream);
  // The memory it had, with pointers to nowhere.
  void* reused[8];
  bool is_reused = false;
  for (void*& one : reused) {
    one = malloc(size);
    std::memset(one, 0x41, size);
    is_reused = is_reused || reinterpret_cast<std::uintptr_t>(one) == address;
  }
  REQUIRE(is_reused);
  CHECK(child_status([] { return 0; }) == 0);
  table::forget_stale(*detail::self);
  CHECK(recorded() <= before);
  for (void* one : reused) free(one);
}

TEST_CASE("a handler that posts leaves the table as it is, whenever it comes") {
  static sem_t tick;
  sem_init(&tick, 0, 1);
  struct sigaction action {
  }, old{};
  action.sa_handler = [](int) { sem_post(&tick); };
  action.sa_flags = SA_RESTART;
  sigaction(SIGALRM, &action, &old);
  const auto before = recorded();
  itimerval often{{0, 50}, {0, 50}}, off{};
  setitimer(ITIMER_REAL, &often, nullptr);
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  for (int i = 0; i < 200'000; ++i) {
    pthread_rwlock_rdlock(&rwlock);
    sem_trywait(&tick);
    pthread_mutex_lock(&mutex);
    pthread_rwlock_unlock(&rwlock);
    pthread_mutex_unlock(&mutex);
  }
  setitimer(ITIMER_REAL, &off, nullptr);
  sigaction(SIGALRM, &old, nullptr);
  CHECK(detail::self->top >= detail::self->slots);
  CHECK(detail::self->deep <= kDeepSlots);
  sem_destroy(&tick);
  table::forget_stale(*detail::self);
  CHECK(recorded() <= before);
}

TEST_CASE("records of threads whose locks others have unlocked are used again") {
  pthread_rwlock_t rwlock = PTHREAD_RWLOCK_INITIALIZER;
  const std::uint32_t before = registry.size();
  for (int i = 0; i < 200; ++i) {
    std::thread([&] { pthread_rwlock_rdlock(&rwlock); }).join();
    pthread_rwlock_unlock(&rwlock);
  }
  CHECK(registry.size() - before < 100);
}

TEST_CASE("the program can have every thread-specific key") {
  CHECK(child_status([] {
          int count = 0;
          for (pthread_key_t key; pthread_key_create(&key, nullptr) == 0;) ++count;
          // Catch2 and the C++ library may have some; without the library's there is one more.
          std::thread([] {}).join();
          pthread_key_t next;
          for (pthread_key_t key = 0; key < PTHREAD_KEYS_MAX; ++key) pthread_key_delete(key);
          int all = 0;
          while (pthread_key_create(&next, nullptr) == 0) ++all;
          return all == PTHREAD_KEYS_MAX && count > PTHREAD_KEYS_MAX / 2 ? 0 : 1;
        }) == 0);
}
