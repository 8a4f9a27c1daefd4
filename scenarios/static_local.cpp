// Scenario static-local: a child is forked while a thread constructs a function-local static.
//
// Cause: the compiler guards the construction with __cxa_guard_acquire, a lock nobody sees in the
// source. The child's copy of the guard says that the construction is under way; the thread that
// does it was not copied.
//
//   config-0: config() > Config::Config ......................... constructed
//   main:                                fork
//   worker (a copy of main alone):       config() > __cxa_guard_acquire  for ever

#include <thread>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "static-local",
    .title = "fork while a thread constructs a function-local static",
    .cause =
        "A thread of the parent is inside the constructor of a function-local static at the "
        "fork. The child calls the same function and waits for ever in __cxa_guard_acquire "
        "for a construction that nobody will finish.",
    .mechanism = "The constructor stops its thread until the worker has been started.",
    .cure =
        "Call such functions once before the process has threads, or before it forks; or start "
        "workers with posix_spawn.",
    .source = "scenarios/static_local.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked in the constructor; the worker calls the function"),
        lucky("fork-lucky", "forked before the thread calls the function, which it does later")
            .as_timing_of("fork"),
        silent("fork-initialised", "control: the static was constructed before the fork"),
    }};

/// Where a thread stays in the middle of the constructor; nullptr: nowhere.
Pause* in_constructor = nullptr;

struct Config {
  int verbosity = 0;
  Config() {
    if (in_constructor) in_constructor->here();
  }
};

[[gnu::noinline]] Config& config() {
  static Config only;
  return only;
}

int read_config() { return config().verbosity; }

Worker start(const std::string& method) {
  if (method == "fork-initialised") {
    std::jthread([] { read_config(); }).join();
    return fork_worker(read_config);
  }
  if (method == "fork-lucky") {
    Pause before;
    PausedThread reader("config-0", before, [&] {
      before.here();
      read_config();
    });
    reader.await();
    return fork_worker(read_config);  // the thread goes on after that
  }
  Pause pause;
  in_constructor = &pause;
  PausedThread reader("config-0", pause, read_config);
  reader.await();
  return fork_worker(read_config);
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
