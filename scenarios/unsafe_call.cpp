// Scenario unsafe-call: a child of a process with threads does more than exec.
//
// Cause: between fork() and exec the child of a threaded process may call async-signal-safe
// functions only (POSIX). Formatting a date, changing the environment or looking a name up works a
// thousand times, and hangs when another thread was in the same function at the fork: the scenario
// libc-locks is that other time.
//
//   idle-0: alive
//   main:                        fork
//   worker (a copy of main alone):    localtime, setenv > exec
#include <stdlib.h>
#include <unistd.h>

#include <ctime>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "unsafe-call",
    .title = "call functions that are not async-signal-safe between fork and exec",
    .cause =
        "The child of a process with threads prepares its exec with functions that take locks of "
        "libc. It is well as long as no other thread is in one of them at the fork.",
    .mechanism =
        "A second thread is alive, and idle. The child converts a time and sets a variable, "
        "then execs: it ends well, this time.",
    .cure =
        "Prepare everything before the fork, and let the child do nothing but exec; or use "
        "posix_spawn, which takes an environment.",
    .source = "scenarios/unsafe_call.cpp",
    .methods = {
        completes("fork", {{"unsafe-call", "note"}}, "the child prepares its exec"),
        silent("fork-prepared", "control: the parent has prepared; the child execs at once"),
        silent("spawn", "control: posix_spawn"),
        silent("single-threaded", "control: the same calls in a process without threads"),
    }};

int report_time() { return getenv("REPORT_YEAR") != nullptr ? 0 : -1; }

[[gnu::noinline]] void prepare() {
  const std::time_t now = std::time(nullptr);
  std::tm date{};
  localtime_r(&now, &date);
  char year[8];
  strftime(year, sizeof year, "%Y", &date);
  setenv("REPORT_YEAR", year, 1);
}

Worker fork_and_exec(bool prepares) {
  FreshImage image("report");
  const pid_t pid = fork();
  if (pid == 0) {
    if (prepares) prepare();
    image.exec();
  }
  return image.worker(pid);
}

Worker start(const std::string& method) {
  if (method == "single-threaded") return fork_and_exec(true);
  if (method != "fork") prepare();
  const Holder idle("idle-0");
  return method == "spawn" ? spawn_worker("report") : fork_and_exec(method == "fork");
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, report_time));
}
