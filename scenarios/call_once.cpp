// Scenario call-once: a child is forked while a thread is inside std::call_once.
//
// Not a deadlock after fork(), unlike a function-local static: glibc stamps a pthread_once_t under
// way with its count of forks, and a child with another count starts the initialisation again
// (nptl/pthread_once.c). _Fork() does not count: its child waits for the thread for ever.
//
//   codec-0: call_once > load_codec ........................... returns
//   main:                             fork
//   worker (a copy of main alone):    call_once > load_codec    once more, from the start

#include <unistd.h>

#include <mutex>
#include <stdexcept>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "call-once",
    .title = "fork while a thread is inside call_once, which glibc starts again in the child",
    .cause =
        "A thread of the parent is inside std::call_once or pthread_once at the fork. glibc's "
        "fork() makes this harmless: the child's call runs the initialisation from the start, "
        "over what the vanished thread left half done. After _Fork() it waits for ever.",
    .mechanism = "The initialisation stops its thread until the worker has been started.",
    .cure =
        "Use fork() or posix_spawn() rather than _Fork(). An initialisation that a fork may cut "
        "off should leave nothing half done, or be called before the process forks.",
    .source = "scenarios/call_once.cpp",
    .methods = {
        silent("fork", "forked inside the initialisation; the worker runs it again"),
        hangs("underscore-fork", "orphaned-lock", "the same with _Fork, after which glibc waits"),
        silent("fork-over", "control: the initialisation was over before the fork"),
    }};

const pid_t parent = getpid();
Pause in_load;
int loads = 0;

void load_codec() {
  ++loads;
  if (getpid() == parent) in_load.here();
}

Worker start(const std::string& method) {
  std::once_flag codec_loaded;
  PausedThread loader("codec-0", in_load, [&] { std::call_once(codec_loaded, load_codec); });
  loader.await();
  const bool over = method == "fork-over";
  if (over) loader.finish();
  const int before = loads;
  return fork_worker(
      [&] {
        std::call_once(codec_loaded, load_codec);
        if (loads != before + (over ? 0 : 1)) throw std::logic_error("wrong number of loads");
        return 0;
      },
      method == "underscore-fork" ? _Fork : fork);
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
