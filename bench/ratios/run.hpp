// Runs one benchmark case in one process and reads its counters.
//
// Not thread-safe: a child process is forked and exec'ed. Nothing of the caller's environment that
// would change the numbers gets through (LD_PRELOAD, FORKSCOPE_OPTIONS, BENCHMARK_*).
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "bench/ratios/cases.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::bench {

/// A temporary folder with the sessions of preloaded runs; gone with the object.
class SessionRoot {
 public:
  SessionRoot();  ///< throws std::system_error
  ~SessionRoot();
  SessionRoot(const SessionRoot&) = delete;
  SessionRoot& operator=(const SessionRoot&) = delete;

  std::filesystem::path make_session();  ///< a new, empty folder

 private:
  std::filesystem::path root_;
  int count_ = 0;
};

/// How the benchmarks are run, the same for all cases.
struct Setup {
  std::filesystem::path programs;  ///< folder of the benchmark executables
  std::filesystem::path preload;   ///< preload library
  bool session = true;             ///< preloaded runs record, and must prove that they did
  Pinning pinning;
  double min_time = 0;  ///< seconds per benchmark, where it has no fixed number of iterations
};

enum class Side { kBare, kPreloaded };

struct RunResult {
  std::map<std::string, double> counters;
  std::string remark;  ///< a sentence, when the run is not quite what it should be
};

/// Throws std::runtime_error with one sentence when the benchmark fails, hangs, a signal handler
/// interrupts the wait, or it was preloaded and the library shows no sign of life.
RunResult run_case(const Case& what, Side side, const Setup& setup, SessionRoot& sessions);

}  // namespace forkscope::bench
