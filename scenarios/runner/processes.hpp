// Runs programs, several at a time, each in a session of its own, with captured output and a hard
// limit. Nothing a program leaves behind survives it: its process group is killed when it ends, and
// whatever escaped from the group when the last one has ended (the caller is their subreaper).
//
// One thread, one poll loop. SIGINT, SIGTERM and SIGHUP are blocked meanwhile, and end the loop.
// Not thread-safe: it waits for any child of the process.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace forkscope::scenario {

struct Command {
  std::vector<std::string> arguments;  ///< the first is the path of the program
  std::vector<std::pair<std::string, std::string>> environment;  ///< added to the caller's
  std::chrono::milliseconds limit;
  /// Files for what it prints, which is then not in the Result; empty: none.
  std::string output_file{}, errors_file{};
};

struct Result {
  bool timed_out = false;
  int wait_status = 0;  ///< as wait(2) stores it
  std::string output;   ///< standard output
  std::string errors;   ///< standard error
  std::chrono::milliseconds took{0};
};

/// Thrown by run_processes when a signal ended it, after all programs were killed.
struct Interrupted {
  int signal;
};

/// Runs `count` commands, at most `jobs` at a time. `make` is called right before a start, `done`
/// right after an end. Throws std::system_error when a program cannot be started; an exception of
/// `make` or `done` passes through. In each case nothing is left running.
void run_processes(std::size_t count, std::size_t jobs,
                   const std::function<Command(std::size_t)>& make,
                   const std::function<void(std::size_t, const Result&)>& done);

}  // namespace forkscope::scenario
