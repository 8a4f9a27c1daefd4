// Scenario barrier: a forked child waits at a barrier for threads that were not copied.
//
// Cause: the barrier's count of threads is copied, the threads are not. Nobody holds anything:
// the child waits for an arrival that cannot come.
//
//   step-0:  round 1 > waits for its turn ................. round 2
//   main:    round 1 >                      fork            round 2
//   worker (a copy of main alone):          round 2  for ever: one of two has come
#include <pthread.h>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "barrier",
    .title = "fork, and meet at a barrier with threads that were not copied",
    .cause =
        "The threads of the parent meet at a barrier. The child inherits the barrier with its "
        "count, but not the threads: it arrives and waits for ever for the others.",
    .mechanism =
        "Both threads have left the first round at the fork; nothing is held. The worker "
        "goes to the second round.",
    .cure =
        "Give the child a barrier for the threads it has (pthread_barrier_init in the child), "
        "or start it with posix_spawn.",
    .source = "scenarios/barrier.cpp",
    .methods = {
        hangs("fork", "lost-thread", "the worker waits at the barrier it inherited"),
        silent("fork-own-barrier", "control: the worker makes a barrier for itself alone"),
    }};

pthread_barrier_t step_done;  // for main and step-0

[[gnu::noinline]] int finish_step() {
  const int result = pthread_barrier_wait(&step_done);
  return result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : result;
}

int finish_step_alone() {
  pthread_barrier_t own;
  pthread_barrier_init(&own, nullptr, 1);
  const int result = pthread_barrier_wait(&own);
  pthread_barrier_destroy(&own);
  return result == PTHREAD_BARRIER_SERIAL_THREAD ? 0 : -1;
}

Worker start(const std::string& method) {
  Pause between_rounds;
  PausedThread step("step-0", between_rounds, [&] {
    finish_step();
    between_rounds.here();
    finish_step();
  });
  finish_step();
  step.await();  // so step-0 has left round 1
  Worker worker = fork_worker(method == "fork" ? finish_step : finish_step_alone);
  step.let_go();
  finish_step();
  return worker;
}

int main(int argc, char** argv) {
  pthread_barrier_init(&step_done, nullptr, 2);
  return run_program(argc, argv, kDescription, one_by_one(start));
}
