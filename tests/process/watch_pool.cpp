#include "tests/process/watch_pool.hpp"

#include <pthread.h>

#include "tests/process/inline_futex.hpp"

namespace work_pool {
namespace {

std::atomic<int> work_done{0};  ///< what the worker would set
std::atomic<int> never{0};

void* worker(void* barrier) {
  pthread_barrier_wait(static_cast<pthread_barrier_t*>(barrier));
  while (never.load() == 0) futex(&never, FUTEX_WAIT, 0);
  finish_work();
  return nullptr;
}

}  // namespace

void wait_for_work() {
  while (work_done.load() == 0) futex(&work_done, FUTEX_WAIT, 0);
}

void wait_for_work_in_rounds() {
  const timespec limit{0, 100'000'000};
  while (work_done.load() == 0) futex(&work_done, FUTEX_WAIT, 0, &limit);
}

void spin_for_work() {
  while (work_done.load(std::memory_order_acquire) == 0) {
  }
}

[[gnu::naked]] void spin_at_entry() { asm("0: jmp 0b"); }

void finish_work() {
  work_done = 1;
  futex(&work_done, FUTEX_WAKE, 1);
}

std::uint64_t compute(std::time_t end) {
  std::uint64_t x = 88172645463325252u;
  while (time(nullptr) < end) {
    for (int i = 0; i < (1 << 26); ++i) {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
    }
  }
  return x;
}

void start() {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  pthread_t thread;
  pthread_create(&thread, nullptr, worker, &barrier);
  pthread_setname_np(thread, "pool-worker");
  pthread_barrier_wait(&barrier);
  pthread_barrier_destroy(&barrier);
}

}  // namespace work_pool
