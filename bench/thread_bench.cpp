// What calls about one thread cost where there are many.
//
// As in wrapper_bench: knows nothing of the preload library, one process per case. The counter `call`:
// seconds per call.
#include <benchmark/benchmark.h>
#include <limits.h>
#include <pthread.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <vector>

namespace {

/// As many threads as are asked for, or as many as there can be, blocked in read(2) until the process
/// ends: to make them and to end them takes seconds.
class ManyThreads {
 public:
  explicit ManyThreads(int count) {
    if (pipe(gate_.data()) != 0) std::abort();
    pthread_attr_t small;
    pthread_attr_init(&small);
    pthread_attr_setstacksize(&small, 4 * PTHREAD_STACK_MIN);
    for (pthread_t thread; count-- > 0 && pthread_create(&thread, &small, wait, &gate_[0]) == 0;)
      threads_.push_back(thread);
    pthread_attr_destroy(&small);
  }
  ManyThreads(const ManyThreads&) = delete;
  ManyThreads& operator=(const ManyThreads&) = delete;

  const std::vector<pthread_t>& handles() const { return threads_; }

 private:
  static void* wait(void* gate) {
    char byte;
    while (read(*static_cast<int*>(gate), &byte, 1) < 0) continue;
    return nullptr;
  }

  std::array<int, 2> gate_;
  std::vector<pthread_t> threads_;
};

constexpr int kCalls = 5'000;

template <typename Next>
void name_threads(benchmark::State& state, Next&& next) {
  constexpr int kThreads = 10'000;
  static const ManyThreads& many = *new ManyThreads(kThreads);
  if (many.handles().empty()) return state.SkipWithError("no threads");
  std::size_t calls = 0;
  for (auto _ : state) pthread_setname_np(next(many.handles(), calls++), "worker");
  using benchmark::Counter;
  state.counters["call"] = Counter(double(calls), Counter::Flags(Counter::kIsRate | Counter::kInvert));
  state.counters["threads"] = double(many.handles().size());
}

void name_another(benchmark::State& state) {
  constexpr std::size_t kStep = 7919;  // a prime: all of them come, in no order of theirs
  name_threads(state, [](const auto& all, std::size_t call) { return all[call * kStep % all.size()]; });
}
BENCHMARK(name_another)->Iterations(kCalls);

void name_itself(benchmark::State& state) {
  name_threads(state, [](const auto&, std::size_t) { return pthread_self(); });
}
BENCHMARK(name_itself)->Iterations(kCalls);

}  // namespace

BENCHMARK_MAIN();
