// What one pthread_mutex_lock + pthread_mutex_unlock pair costs.
//
// Knows nothing of the preload library: the same binary is run bare and preloaded (ratios/), one
// process per case. Every case reports the counter `pair`: seconds per pair.
#include <benchmark/benchmark.h>
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <thread>

namespace {

// Pairs per benchmark iteration, so that the loop of the benchmark library (a counter and a branch,
// and for two threads a start barrier) is spread thin.
constexpr std::int64_t kPairs = 1000;

// A mutex with its cache lines to itself; 128 because x86-64 fetches lines in adjacent pairs.
struct alignas(128) LonelyMutex {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
};

void lock_pairs(pthread_mutex_t* mutex) {
  for (std::int64_t i = 0; i < kPairs; ++i) {
    pthread_mutex_lock(mutex);
    pthread_mutex_unlock(mutex);
  }
}

// Pairs by all threads over the time the case is measured in: CPU time of all threads where nobody
// waits, so that other work on the machine does not count, and wall time (manual) where they do.
void report_pairs(benchmark::State& state, std::int64_t pairs) {
  using benchmark::Counter;
  state.counters["pair"] =
      Counter(double(pairs), Counter::Flags(Counter::kIsRate | Counter::kInvert));
}

// The process never had a second thread: glibc itself takes a cheaper path (SINGLE_THREAD_P).
void one_thread(benchmark::State& state) {
  LonelyMutex lonely;
  for (auto _ : state) lock_pairs(&lonely.mutex);
  report_pairs(state, state.iterations() * kPairs);
}
BENCHMARK(one_thread);

// A second thread is alive for the whole run, blocked in read(2).
void second_thread_idle(benchmark::State& state) {
  std::array<int, 2> gate;
  if (pipe(gate.data()) != 0) return state.SkipWithError("pipe failed");
  std::thread idle([fd = gate[0]] {
    char byte;
    while (read(fd, &byte, 1) < 0) continue;
  });
  LonelyMutex lonely;
  for (auto _ : state) lock_pairs(&lonely.mutex);
  report_pairs(state, state.iterations() * kPairs);
  close(gate[1]);
  idle.join();
  close(gate[0]);
}
BENCHMARK(second_thread_idle);

// A worker of a prefork server: a child of a process with a second thread. It times batches on
// request, by its own CPU time; the requests do not count.
class ForkedChild {
 public:
  ForkedChild() {
    if (pipe(orders_.data()) != 0 || pipe(answers_.data()) != 0) std::abort();
    pid_ = fork();
    if (pid_ == 0) serve();
  }
  ~ForkedChild() {
    close(orders_[1]);
    waitpid(pid_, nullptr, 0);
  }
  ForkedChild(const ForkedChild&) = delete;
  ForkedChild& operator=(const ForkedChild&) = delete;

  // Seconds that `kBatch` pairs took; less than 0 when the child is gone.
  double time_pairs() {
    double seconds = -1;
    char byte = 0;
    if (write(orders_[1], &byte, 1) != 1 || read(answers_[0], &seconds, sizeof seconds) != sizeof seconds)
      return -1;
    return seconds;
  }

  static constexpr std::int64_t kBatch = 20 * kPairs;

 private:
  static double cpu_time() {
    timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return double(now.tv_sec) + 1e-9 * double(now.tv_nsec);
  }
  [[noreturn]] void serve() {
    close(orders_[1]);
    LonelyMutex lonely;
    for (char byte; read(orders_[0], &byte, 1) == 1;) {
      const double begin = cpu_time();
      for (std::int64_t done = 0; done < kBatch; done += kPairs) lock_pairs(&lonely.mutex);
      const double seconds = cpu_time() - begin;
      if (write(answers_[1], &seconds, sizeof seconds) != sizeof seconds) break;
    }
    _exit(0);
  }

  std::array<int, 2> orders_, answers_;
  pid_t pid_ = -1;
};

void forked_child(benchmark::State& state) {
  std::array<int, 2> gate;
  if (pipe(gate.data()) != 0) return state.SkipWithError("pipe failed");
  std::thread idle([fd = gate[0]] {
    char byte;
    while (read(fd, &byte, 1) < 0) continue;
  });
  double total = 0;
  {
    ForkedChild child;
    for (auto _ : state) {
      const double seconds = child.time_pairs();
      if (seconds < 0) {
        state.SkipWithError("the child is gone");
        break;
      }
      state.SetIterationTime(seconds);
      total += seconds;
    }
  }
  state.counters["pair"] = total / double(state.iterations() * ForkedChild::kBatch);
  close(gate[1]);
  idle.join();
  close(gate[0]);
}
BENCHMARK(forked_child)->UseManualTime();

// Two busy threads that share nothing but the process.
void own_mutexes(benchmark::State& state) {
  static std::array<LonelyMutex, 2> lonely;
  pthread_mutex_t* mutex = &lonely[state.thread_index()].mutex;
  for (auto _ : state) lock_pairs(mutex);
  report_pairs(state, state.iterations() * kPairs);
}
BENCHMARK(own_mutexes)->Threads(2);

// ---- contended ----------------------------------------------------------------------------------

// Work inside the critical section, and as much again outside: dependent multiplications, which
// take the same time whatever the caches do.
constexpr int kWorkSteps = 64;

std::uint64_t work(std::uint64_t value) {
  for (int i = 0; i < kWorkSteps; ++i) {
    value = value * 6364136223846793005u + 1442695040888963407u;
    benchmark::DoNotOptimize(value);
  }
  return value;
}

// Two threads share out `left` passes through one critical section. The quota is shared because a
// default mutex is unfair: with a quota each, the favoured thread finishes first and the other
// would measure an uncontended lock for the rest.
class Contest {
 public:
  // One side of the contest: passes until the quota is used up.
  void run(int side) {
    for (std::uint64_t value = 1;;) {
      pthread_mutex_lock(&lonely_.mutex);
      const bool more = left_ > 0;
      if (more) {
        --left_;
        changes_ += owner_ != side;
        owner_ = side;
        value = work(value);
      }
      pthread_mutex_unlock(&lonely_.mutex);
      if (!more) return;
      value = work(value);
    }
  }

  void refill(std::int64_t passes) { left_ = passes; }
  std::int64_t changes() const { return changes_; }

 private:
  LonelyMutex lonely_;
  alignas(128) std::int64_t left_ = 0;  // guarded by the mutex, as the rest
  std::int64_t changes_ = 0;
  int owner_ = 0;
};

// Lets the other thread go on from round to round. Both sides spin, as waking a sleeper would cost
// more than the contest's first passes; they yield, for the sake of a machine with other work.
class Gate {
 public:
  void open(std::uint64_t round) { round_.store(round, std::memory_order_release); }
  std::uint64_t await(std::uint64_t round) const {
    for (;;) {
      const std::uint64_t now = round_.load(std::memory_order_acquire);
      if (now >= round) return now;
      std::this_thread::yield();
    }
  }

 private:
  alignas(128) std::atomic<std::uint64_t> round_{0};
};

// Throughput of two threads at one mutex: wall time of a contest over the passes made in it.
void contended(benchmark::State& state) {
  using Clock = std::chrono::steady_clock;
  constexpr std::int64_t kPasses = 20 * kPairs;
  constexpr std::uint64_t kNoMoreRounds = UINT64_MAX;

  Contest contest;
  Gate ready, start, finished;
  std::thread rival([&] {
    for (std::uint64_t round = 1;; ++round) {
      ready.open(round);
      if (start.await(round) == kNoMoreRounds) return;
      contest.run(1);
      finished.open(round);
    }
  });
  std::uint64_t round = 0;
  for (auto _ : state) {
    ++round;
    ready.await(round);
    contest.refill(kPasses);
    const auto begin = Clock::now();
    start.open(round);
    contest.run(0);
    finished.await(round);
    state.SetIterationTime(std::chrono::duration<double>(Clock::now() - begin).count());
  }
  start.open(kNoMoreRounds);
  rival.join();

  const std::int64_t passes = state.iterations() * kPasses;
  report_pairs(state, passes);
  // How contended it was: passes after which the mutex went to the other thread.
  state.counters["changes_percent"] = 100.0 * double(contest.changes()) / double(passes);
}
BENCHMARK(contended)->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
