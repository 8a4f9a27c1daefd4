// cost_bench: measures one case of `forkscope bench`, in a process of its own.
//
//   cost_bench CASE [--samples=FILE] [--budget=SECONDS] [--most=N] [--benchmark_...]
//
// The parent is built, a few cycles warm up and tell how many fit into the budget, then Google
// Benchmark runs them with manual time (its processor time does not know children) and prints the
// quantiles over the iterations as counters in seconds. All samples go to FILE: a line for each
// clock, "NAME VALUE VALUE ...", in nanoseconds (faults: a number), then "end".
// Exits with 77 and a sentence when the case cannot be measured here.
#include <benchmark/benchmark.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "bench/cost/measure/cycle.hpp"

namespace {

using namespace forkscope::cost;

constexpr int kSkipped = 77;

struct Options {
  std::string name, samples;
  double budget = 0.5;
  std::int64_t most = 1000;
};

Options take_options(int& argc, char** argv) {
  Options options;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    const std::string word = argv[i];
    if (word.starts_with("--samples="))
      options.samples = word.substr(10);
    else if (word.starts_with("--budget="))
      options.budget = std::stod(word.substr(9));
    else if (word.starts_with("--most="))
      options.most = std::stol(word.substr(7));
    else if (!word.starts_with("--") && options.name.empty())
      options.name = word;
    else
      argv[kept++] = argv[i];
  }
  argc = kept;
  argv[argc] = nullptr;
  if (options.name.empty()) throw std::invalid_argument("a case is missing: cost_bench CASE");
  return options;
}

std::string program_beside() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "cost_child").string();
}

/// How many cycles fit, after those that fault in code and page tables.
std::int64_t iterations_for(Measurement& measurement, const Spec& spec, const Options& options) {
  if (spec.tasks > 0 && spec.task >= 100) return 1;  // one batch takes a second or so
  std::vector<std::int64_t> took;
  std::int64_t spent = 0;
  while (took.size() < 5 && double(spent) * 1e-9 < options.budget / 2) {
    took.push_back(measurement.run(nullptr));
    spent += took.back();
  }
  std::sort(took.begin(), took.end());
  const double left = options.budget * 1e9 - double(spent);
  const double usual = double(std::max<std::int64_t>(took[took.size() / 2], 1));
  const std::int64_t least = spec.tasks > 0 ? 1 : 5;
  return std::max(least, std::min(std::int64_t(left / usual), options.most));
}

double quantile(std::vector<std::int64_t> values, double share) {
  const auto nth = values.begin() + std::ptrdiff_t(double(values.size() - 1) * share);
  std::nth_element(values.begin(), nth, values.end());
  return double(*nth);
}

void write_samples(const std::string& path, const Samples& samples) {
  std::ofstream file(path);
  for (const auto& [clock, values] : samples) {
    file << clock;
    for (std::int64_t value : values) file << ' ' << value;
    file << '\n';
  }
  file << "end\n" << std::flush;
  if (!file) throw std::runtime_error("cannot write " + path);
}

int measure(int argc, char** argv) {
  const Options options = take_options(argc, argv);
  const Spec spec = parse_spec(options.name);
  prctl(PR_SET_THP_DISABLE, spec.memory == "huge" ? 0 : 1, 0, 0, 0);
  const auto measurement = make_measurement(spec, program_beside());
  const std::int64_t iterations = iterations_for(*measurement, spec, options);

  Samples samples;
  std::string error;
  benchmark::RegisterBenchmark(
      options.name.c_str(),
      [&](benchmark::State& state) {
        try {
          for (auto _ : state) state.SetIterationTime(double(measurement->run(&samples)) * 1e-9);
        } catch (const std::exception& failure) {
          error = failure.what();
          state.SkipWithError(error.c_str());
        }
        for (const auto& [clock, values] : samples) {
          const double unit = clock.ends_with("faults") ? 1 : 1e-9;
          state.counters[clock] = quantile(values, 0.5) * unit;
          state.counters[clock + "_p99"] = quantile(values, 0.99) * unit;
        }
      })
      ->Iterations(iterations)
      ->UseManualTime()
      ->Unit(benchmark::kMicrosecond);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
  if (!error.empty()) throw std::runtime_error(error);
  if (!options.samples.empty()) write_samples(options.samples, samples);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return measure(argc, argv);
  } catch (const Skip& skip) {
    std::fprintf(stderr, "%s\n", skip.what());
    return kSkipped;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "cost_bench: %s\n", error.what());
    return 2;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cost_bench: %s\n", error.what());
    return 1;
  }
}
