// What exposure_test.cpp looks at: locks held for a known part of the time, and real forks.
//
//   exposure_probe forks KIND HELD FREE FORKS BETWEEN
//       thread "holder" holds a lock of KIND for exponential times (mean HELD microseconds) and
//       leaves it free (mean FREE). Meanwhile the main thread forks FORKS times after exponential
//       times (mean BETWEEN), and each child tries the lock. Prints a 1 for each child that found
//       it taken, else a 0.
//   exposure_probe always    "holder" has the mutex always_held, "reader" a shared one; prints
//                            "ready" and stays until its input ends
//   exposure_probe once N    exits with N
//
// Times are of the clock, not of work done, so that a busy machine changes nothing but precision.
#include <pthread.h>
#include <semaphore.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>

namespace {

void die(const char* what) {
  std::perror(what);
  std::exit(99);
}

class Pauses {
 public:
  explicit Pauses(double mean_microseconds)
      : busy_(mean_microseconds < 100), times_(1 / mean_microseconds) {}
  void take() {
    const double left = times_(random_) * 1000;
    if (busy_) {  // the kernel would make more of it
      const double end = now() + left;
      while (now() < end) {
      }
      return;
    }
    timespec time{time_t(left / 1e9), long(left) % 1'000'000'000};
    while (nanosleep(&time, &time) != 0) {
    }
  }

 private:
  static double now() {
    timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return double(time.tv_sec) * 1e9 + double(time.tv_nsec);
  }

  const bool busy_;
  std::mt19937_64 random_{std::random_device()()};
  std::exponential_distribution<double> times_;
};

pthread_mutex_t file_lock = PTHREAD_MUTEX_INITIALIZER;
pthread_rwlock_t table_lock = PTHREAD_RWLOCK_INITIALIZER;
pthread_spinlock_t counter_lock;
sem_t slot;

struct Kind {
  const char* name;
  void (*take)();
  void (*give)();
  bool (*try_it)();
};

const Kind kKinds[] = {
    {"mutex", [] { pthread_mutex_lock(&file_lock); }, [] { pthread_mutex_unlock(&file_lock); },
     [] { return pthread_mutex_trylock(&file_lock) == 0; }},
    {"rwlock-write", [] { pthread_rwlock_wrlock(&table_lock); },
     [] { pthread_rwlock_unlock(&table_lock); },
     [] { return pthread_rwlock_trywrlock(&table_lock) == 0; }},
    {"rwlock-read", [] { pthread_rwlock_rdlock(&table_lock); },
     [] { pthread_rwlock_unlock(&table_lock); },
     [] { return pthread_rwlock_trywrlock(&table_lock) == 0; }},
    {"spinlock", [] { pthread_spin_lock(&counter_lock); },
     [] { pthread_spin_unlock(&counter_lock); },
     [] { return pthread_spin_trylock(&counter_lock) == 0; }},
    {"semaphore", [] { sem_wait(&slot); }, [] { sem_post(&slot); },
     [] { return sem_trywait(&slot) == 0; }},
};

struct Plan {
  const Kind* kind;
  double held, free;
  std::atomic<bool> over{false};
};

void* hold(void* argument) {
  auto& plan = *static_cast<Plan*>(argument);
  pthread_setname_np(pthread_self(), "holder");
  Pauses held(plan.held), free(plan.free);
  while (!plan.over) {
    plan.kind->take();
    held.take();
    plan.kind->give();
    free.take();
  }
  return nullptr;
}

int forks(char** words) {
  Plan plan{nullptr, std::atof(words[1]), std::atof(words[2])};
  for (const Kind& kind : kKinds)
    if (std::strcmp(kind.name, words[0]) == 0) plan.kind = &kind;
  if (plan.kind == nullptr) return 98;
  const int count = std::atoi(words[3]);
  Pauses between(std::atof(words[4]));
  pthread_t holder;
  if (pthread_create(&holder, nullptr, hold, &plan) != 0) die("pthread_create");
  std::string found;
  for (int i = 0; i < count; ++i) {
    between.take();
    const pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) _exit(plan.kind->try_it() ? 0 : 1);
    int status = 0;
    if (waitpid(child, &status, 0) != child || !WIFEXITED(status)) die("waitpid");
    found += WEXITSTATUS(status) == 0 ? '0' : '1';
  }
  plan.over = true;
  pthread_join(holder, nullptr);
  std::puts(found.c_str());
  return 0;
}

pthread_mutex_t always_held = PTHREAD_MUTEX_INITIALIZER;
pthread_barrier_t both_hold;
pthread_mutex_t* shared_lock;

[[gnu::noinline]] void take_always_held() {
  pthread_mutex_lock(&always_held);
  asm volatile("");  // no tail call: the frame is to be seen
}

void* hold_always(void*) {
  pthread_setname_np(pthread_self(), "holder");
  take_always_held();
  pthread_barrier_wait(&both_hold);
  while (true) pause();
}

void* hold_shared(void*) {
  pthread_mutex_lock(shared_lock);
  pthread_barrier_wait(&both_hold);
  while (true) pause();
}

int always() {
  void* memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) die("mmap");
  shared_lock = static_cast<pthread_mutex_t*>(memory);
  pthread_mutexattr_t attributes;
  pthread_mutexattr_init(&attributes);
  pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(shared_lock, &attributes);
  pthread_barrier_init(&both_hold, nullptr, 3);
  pthread_t threads[2];
  if (pthread_create(&threads[0], nullptr, hold_always, nullptr) != 0 ||
      pthread_create(&threads[1], nullptr, hold_shared, nullptr) != 0)
    die("pthread_create");
  pthread_barrier_wait(&both_hold);
  std::puts("ready");
  std::fflush(stdout);
  char end;
  while (read(0, &end, 1) > 0) {
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  pthread_spin_init(&counter_lock, PTHREAD_PROCESS_PRIVATE);
  sem_init(&slot, 0, 1);
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "forks" && argc == 7) return forks(argv + 2);
  if (mode == "always") return always();
  if (mode == "once" && argc == 3) return std::atoi(argv[2]);
  return 97;
}
