// As locks.c, for what C++ libraries wait on: guards of static variables, std::atomic::wait; with
// -fopenmp the barriers and locks of libgomp; with -DWITH_ABSEIL those of Abseil.
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <latch>
#include <thread>
#ifdef _OPENMP
#include <omp.h>
#endif
#ifdef WITH_ABSEIL
#include "absl/synchronization/mutex.h"
#include "absl/synchronization/notification.h"
#endif

namespace {

std::latch ready{1};
const void* lock_address = nullptr;

[[noreturn]] void stay() {
  for (;;) pause();
}

void say(const void* lock, int owner) {
  std::printf("lock %#lx\nowner %d\nprocess %d\n", reinterpret_cast<unsigned long>(lock), owner,
              getpid());
  std::fflush(stdout);
}

void be_waiter() {
  prctl(PR_SET_NAME, "waiter");
  say(lock_address, 0);
}

int begin() {
  ready.count_down();
  stay();
}

int slow() {
  static int value = begin();
  return value;
}

template <typename First, typename Last>
void two(First first, Last last) {
  std::thread(first).detach();
  ready.wait();
  std::thread([&] {
    be_waiter();
    last();
  }).detach();
  stay();
}

void guard() {
  two([] { slow(); }, [] { slow(); });
}

void atomic_int() {
  static std::atomic<int> value{7};
  lock_address = &value;
  two([] { begin(); }, [] { value.wait(7); });
}

void atomic_long() {
  static std::atomic<long> value{7};
  two([] { begin(); }, [] { value.wait(7); });
}

#ifdef _OPENMP
void omp_barrier() {
#pragma omp parallel num_threads(3)
  {
    if (omp_get_thread_num() == 0) stay();
    if (omp_get_thread_num() == 1) be_waiter();
#pragma omp barrier
  }
}

void omp_lock() {
  static omp_lock_t lock;
  omp_init_lock(&lock);
  lock_address = &lock;
  omp_set_lock(&lock);
  std::thread([] {
    be_waiter();
    omp_set_lock(&lock);
  }).detach();
  stay();
}

void omp_critical() {
#pragma omp parallel num_threads(2)
  {
    if (omp_get_thread_num() == 1) {
      ready.wait();
      be_waiter();
    }
#pragma omp critical
    begin();
  }
}

void omp_idle() {
#pragma omp parallel num_threads(2)
  if (omp_get_thread_num() == 1) prctl(PR_SET_NAME, "waiter");
  say(nullptr, 0);
  stay();
}
#endif

#ifdef WITH_ABSEIL
void abseil_mutex() {
  static absl::Mutex mutex;
  two(
      [] {
        mutex.Lock();
        begin();
      },
      [] { mutex.Lock(); });
}

void abseil_notification() {
  static absl::Notification notification;
  two([] { begin(); }, [] { notification.WaitForNotification(); });
}
#endif

const struct {
  const char* name;
  void (*run)();
} kinds[] = {
    {"guard", guard},
    {"atomic-int", atomic_int},
    {"atomic-long", atomic_long},
#ifdef _OPENMP
    {"omp-barrier", omp_barrier},
    {"omp-lock", omp_lock},
    {"omp-critical", omp_critical},
    {"omp-idle", omp_idle},
#endif
#ifdef WITH_ABSEIL
    {"abseil-mutex", abseil_mutex},
    {"abseil-notification", abseil_notification},
#endif
};

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return 2;
  prctl(PR_SET_PDEATHSIG, 9);
  alarm(120);
  for (const auto& kind : kinds)
    if (std::strcmp(kind.name, arguments[1]) == 0) kind.run();
  return 2;
}
