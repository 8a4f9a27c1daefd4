// What fork + _exit + wait costs, by resident memory and number of threads, and fork + exec.
//
// Knows nothing of the preload library: the same binary is run bare and preloaded (ratios/), one
// process per case, because the ballast of one case would leak into the next.
//
// Two times per case, as counters in seconds (medians and 90th percentiles over the forks):
//   call, call_p90   fork() called until it returned in the parent
//   reap, reap_p90   fork() called until waitpid() had collected the child
// Both, because the child's teardown costs about as much as the copy. Manual time is the reap time:
// the CPU time of Google Benchmark does not know children.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <barrier>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <stdexcept>
#include <thread>
#include <vector>

namespace {

constexpr std::size_t kMiB = std::size_t{1} << 20;

// Anonymous memory, every 4 KiB page of it written, on top of what the process has anyway.
class Ballast {
 public:
  explicit Ballast(std::size_t size) : size_(size) {
    memory_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) throw std::runtime_error("no memory for the ballast");
    // EINVAL is a kernel without huge pages, which is as good.
    if (madvise(memory_, size, MADV_NOHUGEPAGE) != 0 && errno != EINVAL)
      throw std::runtime_error("huge pages cannot be turned off for the ballast");
    auto* bytes = static_cast<volatile char*>(memory_);
    for (std::size_t at = 0; at < size; at += 4096) bytes[at] = 1;
  }
  ~Ballast() { munmap(memory_, size_); }
  Ballast(const Ballast&) = delete;
  Ballast& operator=(const Ballast&) = delete;

 private:
  void* memory_;
  std::size_t size_;
};

// Threads blocked in read(2) on a pipe nobody writes to, for as long as the object lives.
class IdleThreads {
 public:
  explicit IdleThreads(int count) : entered_(unsigned(count) + 1) {
    if (pipe(gate_.data()) != 0) throw std::runtime_error("no pipe for the idle threads");
    for (int i = 0; i < count; ++i) threads_.emplace_back([this] { idle(); });
    entered_.arrive_and_wait();
  }
  ~IdleThreads() {
    close(gate_[1]);
    for (std::thread& thread : threads_) thread.join();
    close(gate_[0]);
  }
  IdleThreads(const IdleThreads&) = delete;
  IdleThreads& operator=(const IdleThreads&) = delete;

 private:
  void idle() {
    entered_.arrive_and_wait();
    char byte;
    while (read(gate_[0], &byte, 1) < 0 && errno == EINTR) continue;
  }

  std::array<int, 2> gate_{};
  std::barrier<> entered_;
  std::vector<std::thread> threads_;
};

struct Times {
  double call, reap;  // seconds
};

enum class Child { kExit, kExecTrue };

Times fork_once(Child child) {
  using Clock = std::chrono::steady_clock;
  static constexpr std::array<const char*, 2> kTrue{"/bin/true", nullptr};

  const auto begin = Clock::now();
  const pid_t pid = fork();
  if (pid == 0) {
    if (child == Child::kExecTrue) execv(kTrue[0], const_cast<char* const*>(kTrue.data()));
    _exit(child == Child::kExit ? 0 : 127);
  }
  const auto returned = Clock::now();
  if (pid < 0) throw std::runtime_error("fork failed");
  int status = 0;
  while (waitpid(pid, &status, 0) < 0)
    if (errno != EINTR) throw std::runtime_error("waitpid failed");
  const auto reaped = Clock::now();
  if (status != 0) throw std::runtime_error("the child did not exit with status 0");

  using Seconds = std::chrono::duration<double>;
  return {Seconds(returned - begin).count(), Seconds(reaped - begin).count()};
}

double percentile(std::vector<double>& samples, double fraction) {
  const auto nth = samples.begin() + std::ptrdiff_t(double(samples.size() - 1) * fraction);
  std::nth_element(samples.begin(), nth, samples.end());
  return *nth;
}

void measure(benchmark::State& state, Child child) {
  // The vectors are written before the first fork, so that they do not grow the process meanwhile.
  std::vector<double> call(state.max_iterations), reap(state.max_iterations);
  std::size_t count = 0;
  for (int i = 0; i < 3; ++i) fork_once(child);  // the first forks fault in code and page tables
  for (auto _ : state) {
    const Times times = fork_once(child);
    call[count] = times.call;
    reap[count] = times.reap;
    ++count;
    state.SetIterationTime(times.reap);
  }
  state.counters["call"] = percentile(call, 0.5);
  state.counters["call_p90"] = percentile(call, 0.9);
  state.counters["reap"] = percentile(reap, 0.5);
  state.counters["reap_p90"] = percentile(reap, 0.9);
}

void fork_case(benchmark::State& state, std::size_t resident, int threads, Child child) try {
  const Ballast ballast(resident);
  const IdleThreads idle(threads);
  measure(state, child);
} catch (const std::exception& error) {
  state.SkipWithError(error.what());
}

// Fixed numbers of iterations: bare and preloaded do the same work, and a preloaded run stays
// within the space a session starts with.
BENCHMARK_CAPTURE(fork_case, 1MiB, kMiB, 0, Child::kExit)->Iterations(1000)->UseManualTime();
BENCHMARK_CAPTURE(fork_case, 1MiB_8threads, kMiB, 8, Child::kExit)
    ->Iterations(1000)
    ->UseManualTime();
BENCHMARK_CAPTURE(fork_case, 256MiB, 256 * kMiB, 0, Child::kExit)->Iterations(60)->UseManualTime();
BENCHMARK_CAPTURE(fork_case, 1MiB_exec_true, kMiB, 0, Child::kExecTrue)
    ->Iterations(300)
    ->UseManualTime();

}  // namespace

BENCHMARK_MAIN();
