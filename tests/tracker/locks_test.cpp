// The verdict on locks other than mutexes, and on mutexes that compare thread ids: what deadlocks
// in a forked child, what does not, and what the fork's list of held locks says.
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <threads.h>

#include <catch2/catch.hpp>
#include <functional>
#include <mutex>
#include <thread>

#include "detector/tracker/fork_events.hpp"
#include "detector/tracker/registry.hpp"
#include "tests/tracker/child_status.hpp"

using namespace forkscope;

namespace {

/// A thread that has taken something and keeps it until the end of the scope.
class Keeper {
 public:
  Keeper(const std::function<void()>& take, std::function<void()> give)
      : thread_([this, take, give = std::move(give)] {
          take();
          sem_post(&has_it_);
          while (sem_wait(&over_) != 0) continue;
          give();
        }) {
    while (sem_wait(&has_it_) != 0) continue;
  }
  ~Keeper() {
    sem_post(&over_);
    thread_.join();
  }

 private:
  struct Semaphore {
    Semaphore() { sem_init(&semaphore, 0, 0); }
    ~Semaphore() { sem_destroy(&semaphore); }
    sem_t* operator&() { return &semaphore; }
    sem_t semaphore;
  };
  Semaphore has_it_, over_;
  std::thread thread_;
};

/// In a child: the record of `lock` among those held at the fork, or null.
const record::HeldLock* held_at_fork(const void* lock) {
  ForkHeld held = last_fork_held();
  for (std::uint32_t i = 0; i < held.count; ++i)
    if (held.locks[i].address == reinterpret_cast<std::uint64_t>(lock)) return &held.locks[i];
  return nullptr;
}

/// Entries in use of the calling thread's table: others than this test's may be stale.
std::ptrdiff_t recorded() {
  return detail::self->top - detail::self->slots + std::ptrdiff_t(detail::self->deep);
}

}  // namespace

TEST_CASE("a lost reader keeps a writer out for ever, and nobody else") {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  Keeper keeper([&] { pthread_rwlock_rdlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
  CHECK(child_status([&] { return pthread_rwlock_wrlock(&lock); }) == kDeadlock);
  CHECK(child_status([&] { return pthread_rwlock_trywrlock(&lock); }) == EBUSY);
  CHECK(child_status([&] { return pthread_rwlock_rdlock(&lock) | pthread_rwlock_unlock(&lock); }) ==
        0);
  CHECK(child_status([&] {
          const record::HeldLock* held = held_at_fork(&lock);
          return held != nullptr && held->type == record::LockType::kRwlock &&
                         (held->flags & record::kLockReader) != 0 && held->self == 0
                     ? 0
                     : 1;
        }) == 0);
}

TEST_CASE("a lost writer keeps readers and writers out for ever") {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  Keeper keeper([&] { pthread_rwlock_wrlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
  CHECK(child_status([&] { return pthread_rwlock_rdlock(&lock); }) == kDeadlock);
  CHECK(child_status([&] { return pthread_rwlock_wrlock(&lock); }) == kDeadlock);
  CHECK(child_status([&] {
          const record::HeldLock* held = held_at_fork(&lock);
          return held != nullptr && (held->flags & record::kLockReader) == 0 ? 0 : 1;
        }) == 0);
}

TEST_CASE("an rwlock that is free, repaired, or read by the forking thread itself is not judged") {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  {
    Keeper keeper([&] { pthread_rwlock_rdlock(&lock), pthread_rwlock_unlock(&lock); }, [] {});
    CHECK(child_status([&] {
            return pthread_rwlock_wrlock(&lock) | (held_at_fork(&lock) != nullptr);
          }) == 0);
  }
  {
    Keeper keeper([&] { pthread_rwlock_wrlock(&lock); }, [&] { pthread_rwlock_unlock(&lock); });
    CHECK(child_status([&] {
            pthread_rwlock_init(&lock, nullptr);
            return pthread_rwlock_wrlock(&lock);
          }) == 0);
  }
  pthread_rwlock_rdlock(&lock);
  CHECK(child_status([&] {
          pthread_rwlock_rdlock(&lock);
          pthread_rwlock_unlock(&lock);
          pthread_rwlock_unlock(&lock);
          return pthread_rwlock_wrlock(&lock);
        }) == 0);
  CHECK(child_status([&] { return pthread_rwlock_wrlock(&lock); }) ==
        kDeadlock);  // waits for itself
  pthread_rwlock_unlock(&lock);
}

TEST_CASE("several readers of one thread count, in any order of unlocking") {
  pthread_rwlock_t first = PTHREAD_RWLOCK_INITIALIZER, second = PTHREAD_RWLOCK_INITIALIZER;
  const auto before = recorded();
  pthread_rwlock_rdlock(&first);
  pthread_rwlock_rdlock(&second);
  pthread_rwlock_rdlock(&first);
  pthread_rwlock_unlock(&first);
  CHECK(child_status([&] { return held_at_fork(&first) && held_at_fork(&second) ? 0 : 1; }) == 0);
  pthread_rwlock_unlock(&first);
  CHECK(child_status([&] { return !held_at_fork(&first) && held_at_fork(&second) ? 0 : 1; }) == 0);
  pthread_rwlock_unlock(&second);
  CHECK(recorded() == before);
}

TEST_CASE("a spin lock of a lost thread deadlocks") {
  pthread_spinlock_t lock;
  pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  {
    Keeper keeper([&] { pthread_spin_lock(&lock); }, [&] { pthread_spin_unlock(&lock); });
    CHECK(child_status([&] { return pthread_spin_lock(&lock); }) == kDeadlock);
    CHECK(child_status([&] { return pthread_spin_trylock(&lock); }) == EBUSY);
    CHECK(child_status([&] {
            pthread_spin_unlock(&lock);
            return pthread_spin_lock(&lock);
          }) == 0);
  }
  CHECK(child_status([&] { return pthread_spin_lock(&lock); }) == 0);
}

TEST_CASE("a lock in shared memory is not orphaned: whoever has it is alive") {
  auto* lock = static_cast<pthread_rwlock_t*>(
      mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  pthread_rwlockattr_t attributes;
  pthread_rwlockattr_init(&attributes);
  pthread_rwlockattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(lock, &attributes);
  {
    Keeper keeper([&] { pthread_rwlock_wrlock(lock); }, [&] { pthread_rwlock_unlock(lock); });
    CHECK(child_status([&] {
            timespec past{};
            const record::HeldLock* held = held_at_fork(lock);
            if (held == nullptr || (held->flags & record::kLockShared) == 0) return 1;
            return pthread_rwlock_timedwrlock(lock, &past) == ETIMEDOUT ? 0 : 2;
          }) == 0);
  }
  munmap(lock, 4096);
}

TEST_CASE("a semaphore that a lost thread took as a lock deadlocks") {
  sem_t lock;
  sem_init(&lock, 0, 1);
  {
    Keeper keeper([&] { sem_wait(&lock); }, [&] { sem_post(&lock); });
    CHECK(child_status([&] { return sem_wait(&lock); }) == kDeadlock);
    CHECK(child_status([&] { return sem_trywait(&lock) == -1 && errno == EAGAIN ? 0 : 1; }) == 0);
    CHECK(child_status([&] {
            const record::HeldLock* held = held_at_fork(&lock);
            return held != nullptr && (held->flags & record::kLockEvidence) != 0 ? 0 : 1;
          }) == 0);
    CHECK(child_status([&] {
            sem_post(&lock);  // a child that repairs it
            return sem_wait(&lock);
          }) == 0);
  }
  CHECK(child_status([&] { return sem_wait(&lock); }) == 0);
}

TEST_CASE("a semaphore that a signal handler may post is not judged") {
  static sem_t wakeup;
  sem_init(&wakeup, 0, 0);
  CHECK(child_status([&] {
          struct sigaction action {};
          action.sa_handler = [](int) { sem_post(&wakeup); };
          sigaction(SIGALRM, &action, nullptr);
          ualarm(1000, 0);
          while (sem_wait(&wakeup) != 0) continue;
          return 0;
        }) == 0);
}

TEST_CASE("semaphores others post do not fill the table") {
  const auto before = recorded();
  sem_t events[64];
  for (sem_t& event : events) sem_init(&event, 0, 0);
  std::thread poster([&] {
    for (sem_t& event : events) sem_post(&event);
  });
  for (sem_t& event : events) sem_wait(&event);
  poster.join();
  CHECK(recorded() - before <= 5);
  for (sem_t& event : events) sem_destroy(&event);
  CHECK(recorded() == before);
}

TEST_CASE(
    "a static variable that a lost thread initialises deadlocks, one that is ready does not") {
  struct Slow {
    explicit Slow(const std::function<void()>& during) { during(); }
  };
  static sem_t inside, leave;
  sem_init(&inside, 0, 0);
  sem_init(&leave, 0, 0);
  auto get = [](bool in_thread) {
    static Slow slow([in_thread] {
      if (!in_thread) return;
      sem_post(&inside);
      while (sem_wait(&leave) != 0) continue;
    });
  };
  std::thread initialiser([&] { get(true); });
  while (sem_wait(&inside) != 0) continue;
  CHECK(child_status([&] { return get(false), 0; }) == kDeadlock);
  sem_post(&leave);
  initialiser.join();
  sem_destroy(&inside);
  CHECK(child_status([&] { return get(false), 0; }) == 0);
}

TEST_CASE("call_once in progress is restarted by glibc after fork, and hangs after _Fork") {
  static sem_t inside, leave;
  sem_init(&inside, 0, 0);
  sem_init(&leave, 0, 0);
  static pthread_once_t flag = PTHREAD_ONCE_INIT;
  std::thread runner([] {
    pthread_once(&flag, [] {
      sem_post(&inside);
      while (sem_wait(&leave) != 0) continue;
    });
  });
  while (sem_wait(&inside) != 0) continue;
  CHECK(child_status([] { return pthread_once(&flag, [] {}); }) == 0);
  process.options.on_deadlock = OnDeadlock::kExit;
  pid_t child = _Fork();
  if (child == 0) _exit(pthread_once(&flag, [] {}));
  process.options.on_deadlock = OnDeadlock::kReport;
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(WEXITSTATUS(status) == kDeadlock);
  sem_post(&leave);
  runner.join();
  CHECK_FALSE(table::contains(*detail::self, &flag));
  sem_destroy(&inside);
}

TEST_CASE("a stream that a lost thread locked: glibc resets it, but not after _Fork") {
  FILE* stream = tmpfile();
  REQUIRE(stream != nullptr);
  {
    Keeper keeper([&] { flockfile(stream); }, [&] { funlockfile(stream); });
    CHECK(child_status([&] {
            flockfile(stream);
            funlockfile(stream);
            return held_at_fork(stream) != nullptr ? 1 : 0;
          }) == 0);
    process.options.on_deadlock = OnDeadlock::kExit;
    pid_t child = _Fork();
    if (child == 0) {
      flockfile(stream);
      _exit(0);
    }
    process.options.on_deadlock = OnDeadlock::kReport;
    int status = -1;
    waitpid(child, &status, 0);
    CHECK(WEXITSTATUS(status) == kDeadlock);
  }
  fclose(stream);
}

TEST_CASE("a C11 mutex is a mutex") {
  mtx_t mutex;
  mtx_init(&mutex, mtx_timed);
  {
    Keeper keeper([&] { mtx_lock(&mutex); }, [&] { mtx_unlock(&mutex); });
    CHECK(child_status([&] { return mtx_lock(&mutex); }) == kDeadlock);
    CHECK(child_status([&] { return mtx_trylock(&mutex) == thrd_busy ? 0 : 1; }) == 0);
    CHECK(child_status([&] {
            timespec past{};
            return mtx_timedlock(&mutex, &past) == thrd_timedout ? 0 : 1;
          }) == 0);
  }
  CHECK(child_status([&] { return mtx_lock(&mutex); }) == 0);
}

TEST_CASE("a mutex that compares thread ids: the child is not its owner any more") {
  for (int type : {PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK}) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    pthread_mutex_t mutex;
    pthread_mutex_init(&mutex, &attributes);
    pthread_mutex_lock(&mutex);
    CHECK(child_status([&] {
            if (pthread_mutex_unlock(&mutex) != EPERM) return 1;
            return pthread_mutex_lock(&mutex);
          }) == kDeadlock);
    pthread_mutex_unlock(&mutex);
  }
}
