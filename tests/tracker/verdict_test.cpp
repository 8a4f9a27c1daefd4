// The verdict in the child: what deadlocks, what does not, and what on_deadlock does about it.
// on_deadlock=exit:86 turns "would wait for ever" into an exit status, so that nothing hangs here.
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <functional>
#include <thread>

#include "tests/tracker/child_status.hpp"

using namespace forkscope;

namespace {

/// A thread that holds a mutex (of an optional type) while the test forks.
class Holder {
 public:
  explicit Holder(int type = PTHREAD_MUTEX_NORMAL, bool pshared = false) {
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, type);
    if (pshared) pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
    pthread_mutex_init(&mutex, &attributes);
    pthread_barrier_init(&step_, nullptr, 2);
    thread_ = std::thread([this] {
      pthread_mutex_lock(&mutex);
      pthread_barrier_wait(&step_);
      pthread_barrier_wait(&step_);
      pthread_mutex_unlock(&mutex);
    });
    pthread_barrier_wait(&step_);
  }
  ~Holder() {
    pthread_barrier_wait(&step_);
    thread_.join();
  }
  pthread_mutex_t mutex;

 private:
  pthread_barrier_t step_;
  std::thread thread_;
};

timespec in_a_moment() {
  timespec at{};
  clock_gettime(CLOCK_REALTIME, &at);
  return at;
}

}  // namespace

TEST_CASE("locking a mutex of a lost thread deadlocks, whatever its type") {
  for (int type : {PTHREAD_MUTEX_NORMAL, PTHREAD_MUTEX_RECURSIVE, PTHREAD_MUTEX_ERRORCHECK,
                   PTHREAD_MUTEX_ADAPTIVE_NP}) {
    Holder holder(type);
    CHECK(child_status([&] { return pthread_mutex_lock(&holder.mutex); }) == kDeadlock);
  }
}

TEST_CASE("trylock and timedlock do not deadlock") {
  Holder holder;
  CHECK(child_status([&] { return pthread_mutex_trylock(&holder.mutex); }) == EBUSY);
  CHECK(child_status([&] {
          timespec until = in_a_moment();
          return pthread_mutex_timedlock(&holder.mutex, &until);
        }) == ETIMEDOUT);
}

TEST_CASE("a child that unlocks or initialises the mutex first is not stopped") {
  Holder holder;
  CHECK(child_status([&] {
          pthread_mutex_unlock(&holder.mutex);
          return pthread_mutex_lock(&holder.mutex);
        }) == 0);
  CHECK(child_status([&] {
          pthread_mutex_init(&holder.mutex, nullptr);
          return pthread_mutex_lock(&holder.mutex);
        }) == 0);
}

TEST_CASE("a process-shared mutex is not judged: its owner may live elsewhere") {
  Holder holder(PTHREAD_MUTEX_NORMAL, true);
  CHECK(child_status([&] {
          timespec until = in_a_moment();
          return pthread_mutex_timedlock(&holder.mutex, &until);
        }) == ETIMEDOUT);
}

TEST_CASE("a mutex that nobody holds, or a thread of the child holds, is just locked") {
  Holder holder;
  pthread_mutex_t other = PTHREAD_MUTEX_INITIALIZER;
  CHECK(child_status([&] {
          pthread_mutex_lock(&other);
          std::thread waiter([&] { pthread_mutex_lock(&other), pthread_mutex_unlock(&other); });
          pthread_mutex_unlock(&other);
          waiter.join();
          return 0;
        }) == 0);
}

TEST_CASE("a thread that the child starts deadlocks on it like the child itself") {
  Holder holder;
  CHECK(child_status([&] {
          std::thread([&] { pthread_mutex_lock(&holder.mutex); }).join();
          return 0;
        }) == kDeadlock);
}

TEST_CASE("a child of a child that lost the holder deadlocks too") {
  Holder holder;
  CHECK(child_status([&] {
          pid_t grandchild = fork();
          if (grandchild == 0) _exit(pthread_mutex_lock(&holder.mutex));
          int status = -1;
          waitpid(grandchild, &status, 0);
          return WEXITSTATUS(status);
        }) == kDeadlock);
}

TEST_CASE("a mutex the forking thread holds deadlocks when its child locks it again") {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);
  CHECK(child_status([&] { return pthread_mutex_lock(&mutex); }) == kDeadlock);
  CHECK(child_status([&] {
          pthread_mutex_unlock(&mutex);
          return pthread_mutex_lock(&mutex);
        }) == 0);
  pthread_mutex_unlock(&mutex);
}

TEST_CASE("break lets the child through") {
  Holder holder;
  process.options.log_stderr = false;
  process.options.on_deadlock = OnDeadlock::kBreak;
  pid_t child = fork();
  if (child == 0) _exit(pthread_mutex_lock(&holder.mutex) | pthread_mutex_unlock(&holder.mutex));
  process.options.on_deadlock = OnDeadlock::kReport;
  int status = -1;
  waitpid(child, &status, 0);
  CHECK(status == 0);
}

TEST_CASE("waiting for a signal only lost threads would give deadlocks") {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t work = PTHREAD_COND_INITIALIZER, done = PTHREAD_COND_INITIALIZER;
  bool stop = false;
  bool waiting = false;
  std::thread worker([&] {
    pthread_mutex_lock(&mutex);
    waiting = true;
    pthread_cond_signal(&done);
    while (!stop) pthread_cond_wait(&work, &mutex);
    pthread_mutex_unlock(&mutex);
  });
  pthread_mutex_lock(&mutex);
  while (!waiting) pthread_cond_wait(&done, &mutex);
  pthread_mutex_unlock(&mutex);

  CHECK(child_status([&] {
          pthread_mutex_lock(&mutex);
          return pthread_cond_wait(&done, &mutex);
        }) == kDeadlock);
  // With a thread of its own that signals, the child goes on.
  CHECK(child_status([&] {
          bool ready = false;
          pthread_mutex_lock(&mutex);
          std::thread signaller([&] {
            pthread_mutex_lock(&mutex);
            ready = true;
            pthread_cond_signal(&done);
            pthread_mutex_unlock(&mutex);
          });
          while (!ready) pthread_cond_wait(&done, &mutex);
          pthread_mutex_unlock(&mutex);
          signaller.join();
          return 0;
        }) == 0);

  pthread_mutex_lock(&mutex);
  stop = true;
  pthread_cond_signal(&work);
  pthread_mutex_unlock(&mutex);
  worker.join();
}
