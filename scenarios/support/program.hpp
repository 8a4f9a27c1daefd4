// The command line every scenario has, and its exit statuses.
//
//   SCENARIO [--method=M] [--workers=N] [--patience=MS]   run, by default the first method
//            [--examine=COMMAND]                          a shell's, with the PID of a worker that
//                                                         hangs added, run before that is killed
//   SCENARIO --describe                                   print the description as JSON
//   SCENARIO --worker=FD ARGUMENT                         a worker started by posix_spawn
//   (internal)
//
// Called once from main, before any thread exists.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>

#include "scenarios/support/description.hpp"
#include "scenarios/support/worker.hpp"

namespace forkscope::scenario {

/// Exit statuses of a scenario.
enum Status : int {
  kAllDone = 0,
  kError = 1,
  kUsage = 2,
  kWorkerHung = 3,        ///< no news from a worker for --patience; it was killed
  kWorkerEndedEarly = 4,  ///< a worker exited or was killed by a signal before it was done
  kSkipped = 77,          ///< something it needs is not there; it says what
};

/// What the scenario needs is not on this machine, in a sentence.
struct Skipped : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Options {
  std::string method;
  int workers = 3;
  std::chrono::milliseconds patience{2000};  ///< without news after which a worker is hung
};

struct Program {
  /// Everything but the workers. Returns a Status.
  std::function<int(const Options&)> parent;
  /// The work of a worker that inherited nothing and is given one argument.
  std::function<std::int64_t(const std::string&)> fresh_worker;
};

/// A program that starts its workers one after the other, each with `start`, which is given the
/// method, and stops at the first that does not end well. A worker's result must be 0.
/// `fresh_worker` is for the methods that start a fresh image.
Program one_by_one(const std::function<Worker(const std::string& method)>& start,
                   const std::function<std::int64_t()>& fresh_worker = {});

/// main() of a scenario.
int run_program(int argc, char** argv, const Description& description, const Program& program);

}  // namespace forkscope::scenario
