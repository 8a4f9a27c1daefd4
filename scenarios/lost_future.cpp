// Scenario lost-future: a forked child waits for a result that another thread was computing.
//
// Cause: a std::future is a promise that some thread will keep. The child inherits the shared state
// ("not ready") and not the thread. libstdc++ waits on a futex, with no mutex and no owner: there
// is nothing that was held, and nobody to blame but the missing thread.
//
//   compute-0: works ............................ set_value(42)
//   main:                fork                     get() is 42
//   worker (a copy of main alone):  get()  for ever
#include <future>
#include <optional>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "lost-future",
    .title = "fork while a thread computes a std::future, and wait for it in the child",
    .cause =
        "A thread of the parent was computing a result at the fork. The child inherits the "
        "future, which is not ready, and not the thread that would make it so: get() and "
        "wait() never return.",
    .mechanism = "The thread sets the value only after the worker has been started.",
    .cure =
        "Wait for results before the fork, or compute them in the child, with a thread or an "
        "executor of its own.",
    .source = "scenarios/lost_future.cpp",
    .methods = {
        hangs("fork", "lost-thread", "the worker waits for the result of the parent's thread"),
        silent("fork-ready", "the thread has set the value before the fork").as_timing_of("fork"),
        silent("fork-own-future", "control: the worker computes it with a thread of its own"),
        silent("spawn", "the worker is a fresh image and computes it itself"),
    }};

constexpr int kResult = 42;

[[gnu::noinline]] int wait_for_result(const std::shared_future<int>& result) {
  return result.get() - kResult;
}

int compute_own() {
  return wait_for_result(std::async(std::launch::async, [] { return kResult; }).share());
}

Worker start(const std::string& method) {
  std::promise<int> promise;
  const std::shared_future<int> result = promise.get_future().share();
  Pause computing;
  PausedThread compute("compute-0", computing, [&] {
    computing.here();
    promise.set_value(kResult);
  });
  compute.await();
  if (method == "spawn") return spawn_worker("compute");
  if (method == "fork-own-future") return fork_worker(compute_own);
  if (method == "fork-ready") compute.finish();
  return fork_worker([&] { return wait_for_result(result); });
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, compute_own));
}
