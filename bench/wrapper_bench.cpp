// What one uncontended pair of calls costs, for every family of locks beside pthread_mutex_lock and
// unlock (lock_pair_bench), and a single call where there is no pair.
//
// As there: knows nothing of the preload library, one process per case, a second thread alive, and
// the counter `pair`: seconds per pair.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <threads.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <thread>

namespace {

constexpr std::int64_t kPairs = 1000;  // per iteration: the benchmark's own loop is spread thin

/// Lives for the whole run, blocked in read(2).
class SecondThread {
 public:
  SecondThread() {
    if (pipe(gate_.data()) != 0) std::abort();
    thread_ = std::thread([fd = gate_[0]] {
      char byte;
      while (read(fd, &byte, 1) < 0) continue;
    });
  }
  ~SecondThread() {
    close(gate_[1]);
    thread_.join();
    close(gate_[0]);
  }

 private:
  std::array<int, 2> gate_;
  std::thread thread_;
};

template <typename Pair>
void measure(benchmark::State& state, Pair&& pair) {
  SecondThread second;
  for (auto _ : state)
    for (std::int64_t i = 0; i < kPairs; ++i) pair();
  using benchmark::Counter;
  state.counters["pair"] = Counter(double(state.iterations() * kPairs),
                                   Counter::Flags(Counter::kIsRate | Counter::kInvert));
}

void rwlock_read(benchmark::State& state) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  measure(state, [&] {
    pthread_rwlock_rdlock(&lock);
    pthread_rwlock_unlock(&lock);
  });
}
BENCHMARK(rwlock_read);

void rwlock_write(benchmark::State& state) {
  pthread_rwlock_t lock = PTHREAD_RWLOCK_INITIALIZER;
  measure(state, [&] {
    pthread_rwlock_wrlock(&lock);
    pthread_rwlock_unlock(&lock);
  });
}
BENCHMARK(rwlock_write);

void spin(benchmark::State& state) {
  pthread_spinlock_t lock;
  pthread_spin_init(&lock, PTHREAD_PROCESS_PRIVATE);
  measure(state, [&] {
    pthread_spin_lock(&lock);
    pthread_spin_unlock(&lock);
  });
}
BENCHMARK(spin);

void semaphore(benchmark::State& state) {
  sem_t lock;
  sem_init(&lock, 0, 1);
  measure(state, [&] {
    sem_wait(&lock);
    sem_post(&lock);
  });
}
BENCHMARK(semaphore);

void c11_mutex(benchmark::State& state) {
  mtx_t lock;
  mtx_init(&lock, mtx_plain);
  measure(state, [&] {
    mtx_lock(&lock);
    mtx_unlock(&lock);
  });
}
BENCHMARK(c11_mutex);

void trylock(benchmark::State& state) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  measure(state, [&] {
    if (pthread_mutex_trylock(&lock) == 0) pthread_mutex_unlock(&lock);
  });
}
BENCHMARK(trylock);

void stream(benchmark::State& state) {
  measure(state, [&] {
    flockfile(stderr);
    funlockfile(stderr);
  });
}
BENCHMARK(stream);

void signal(benchmark::State& state) {
  pthread_cond_t condition = PTHREAD_COND_INITIALIZER;
  measure(state, [&] { pthread_cond_signal(&condition); });
}
BENCHMARK(signal);

void once(benchmark::State& state) {
  pthread_once_t flag = PTHREAD_ONCE_INIT;
  measure(state, [&] { pthread_once(&flag, [] {}); });
}
BENCHMARK(once);

void futex_wake(benchmark::State& state) {
  int word = 0;
  measure(state, [&] {
    syscall(SYS_futex, &word, FUTEX_WAKE | FUTEX_PRIVATE_FLAG, 1, nullptr, nullptr, 0);
  });
}
BENCHMARK(futex_wake);

void other_syscall(benchmark::State& state) {
  measure(state, [&] { syscall(SYS_getppid); });
}
BENCHMARK(other_syscall);

void fcntl_flags(benchmark::State& state) {
  measure(state, [&] { benchmark::DoNotOptimize(fcntl(STDIN_FILENO, F_GETFL)); });
}
BENCHMARK(fcntl_flags)->Name("fcntl");

}  // namespace

BENCHMARK_MAIN();
