// The verdict on waits for threads that were not copied: semaphores, barriers, condition variables
// that libc itself waits at.
#include <pthread.h>
#include <semaphore.h>

#include <catch2/catch.hpp>
#include <thread>
#include <vector>

#include "tests/tracker/child_status.hpp"

using namespace forkscope;

namespace {

/// Threads of the parent that sleep on one condition variable, a given number woken already.
class Waiters {
 public:
  void add() {
    pthread_mutex_lock(&mutex);
    std::size_t before = asleep_;
    threads_.emplace_back([this] {
      pthread_mutex_lock(&mutex);
      ++asleep_;
      pthread_cond_signal(&fell_asleep_);
      pthread_cond_wait(&condition, &mutex);
      ++woken_;
      pthread_cond_signal(&woke_up_);
      pthread_mutex_unlock(&mutex);
    });
    while (asleep_ == before) pthread_cond_wait(&fell_asleep_, &mutex);
    pthread_mutex_unlock(&mutex);
  }
  void wake_one() {
    pthread_mutex_lock(&mutex);
    std::size_t before = woken_;
    pthread_cond_signal(&condition);
    while (woken_ == before) pthread_cond_wait(&woke_up_, &mutex);
    pthread_mutex_unlock(&mutex);
  }
  ~Waiters() {
    while (woken_ < threads_.size()) wake_one();
    for (std::thread& thread : threads_) thread.join();
  }
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;

 private:
  pthread_cond_t fell_asleep_ = PTHREAD_COND_INITIALIZER, woke_up_ = PTHREAD_COND_INITIALIZER;
  std::size_t asleep_ = 0, woken_ = 0;
  std::vector<std::thread> threads_;
};

}  // namespace

TEST_CASE("destroying a condition variable waits for the parent's waiters") {
  Waiters waiters;
  waiters.add();
  CHECK(child_status([&] { return pthread_cond_destroy(&waiters.condition); }) == kDeadlock);
  CHECK(child_status([&] {
          waiters.condition = PTHREAD_COND_INITIALIZER;  // made anew: nobody is counted in it
          return pthread_cond_destroy(&waiters.condition);
        }) == 0);
}

TEST_CASE("signalling waits for the parent's waiters only when a group of them has to leave") {
  Waiters waiters;
  waiters.add();
  waiters.add();
  // One group, nobody woken: the signal goes to a waiter that does not exist, and is lost.
  CHECK(child_status([&] { return pthread_cond_broadcast(&waiters.condition); }) == 0);
  waiters.wake_one();  // the older group has one left
  CHECK(child_status([&] { return pthread_cond_signal(&waiters.condition); }) == 0);
  waiters.add();  // and there is a younger group now
  CHECK(child_status([&] { return pthread_cond_signal(&waiters.condition); }) == 0);
  CHECK(child_status([&] { return pthread_cond_broadcast(&waiters.condition); }) == kDeadlock);
}

TEST_CASE("a semaphore that lost threads post is waited for in vain") {
  sem_t request, answer;
  sem_init(&request, 0, 0);
  sem_init(&answer, 0, 0);
  bool stop = false;
  std::thread server([&] {
    for (;;) {
      while (sem_wait(&request) != 0) continue;
      if (stop) return;
      sem_post(&answer);
    }
  });
  auto ask = [&] {
    sem_post(&request);
    while (sem_wait(&answer) != 0) continue;
    return 0;
  };
  ask();
  CHECK(child_status(ask) == kDeadlock);
  const auto asks_with_handler_of = [&](int number) {
    return child_status([&, number] {
      ::signal(number, [](int) {});
      return ask();
    });
  };
  // No error of the thread itself ends a sleep.
  CHECK(asks_with_handler_of(SIGSEGV) == kDeadlock);
  CHECK(child_status([&] {  // a server of the child's own
          std::thread own([&] {
            while (sem_wait(&request) != 0) continue;
            sem_post(&answer);
          });
          ask();
          own.join();
          return 0;
        }) == 0);
  stop = true;
  sem_post(&request);
  server.join();
}

TEST_CASE("a barrier for threads that were not copied is never passed") {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  std::thread other([&] { pthread_barrier_wait(&barrier); });
  pthread_barrier_wait(&barrier);
  other.join();
  // A thread that lives, so that there is one to lose.
  sem_t over;
  sem_init(&over, 0, 0);
  std::thread living([&] {
    while (sem_wait(&over) != 0) continue;
  });
  CHECK(child_status([&] { return pthread_barrier_wait(&barrier); }) == kDeadlock);
  CHECK(child_status([&] {
          std::thread own([&] { pthread_barrier_wait(&barrier); });
          pthread_barrier_wait(&barrier);
          own.join();
          return 0;
        }) == 0);
  CHECK(child_status([&] {
          pthread_barrier_t single;
          pthread_barrier_init(&single, nullptr, 1);
          return pthread_barrier_wait(&single) == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : 1;
        }) == 0);
  sem_post(&over);
  living.join();
}
