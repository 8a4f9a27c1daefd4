// Scenario openmp-region: a forked child enters an OpenMP parallel region after its parent has.
//
// Cause: libgomp keeps the threads of a region for the next one. The child inherits the team in
// memory and not its threads, hands them their part of the work, and waits at the region's end for
// threads that are not there. NumPy with a parallel BLAS, scikit-learn and OpenCV hang so after
// multiprocessing's "fork". libgomp has no at-fork handlers, on purpose: OpenMP does not define
// what fork does to a program. Other OpenMP runtimes (LLVM's) have.
//
//   parent: parallel region > its threads sleep ....... fork
//   worker (a copy of main alone):  parallel region > waits at the team's barrier  for ever
#include <omp.h>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "openmp-region",
    .title = "fork after an OpenMP parallel region, and enter one in the child",
    .cause =
        "The parent has run a parallel region, so libgomp keeps a team of threads for the next "
        "one. The child inherits the team and not the threads, gives them work, and waits for "
        "ever at the barrier that ends the region.",
    .mechanism =
        "A region with two threads in the parent, then the fork, then a region in the worker. No "
        "lock is held, and libgomp waits by inline futex calls that no library sees.",
    .cure =
        "Fork before the first parallel region, use one thread in the child "
        "(omp_set_num_threads(1)), or start workers with posix_spawn (Python: "
        "multiprocessing.get_context(\"spawn\"), or joblib's loky).",
    .source = "scenarios/openmp_region.cpp",
    .methods = {
        hangs("fork", "lost-thread", "a region in the parent, the fork, a region in the worker"),
        silent("fork-before", "control: the parent's first region comes after the fork"),
        silent("fork-one-thread", "control: the worker's region has one thread"),
        silent("spawn", "the worker is a fresh image with a team of its own"),
    }};

/// Adds up with a team; 0 is right.
[[gnu::noinline]] int sum_of_squares(int threads) {
  constexpr int kCount = 1000;
  long sum = 0;
#pragma omp parallel for num_threads(threads) reduction(+ : sum)
  for (int number = 0; number < kCount; ++number) sum += long{number} * number;
  return sum == 332'833'500 ? 0 : -1;
}

int with_team() { return sum_of_squares(2); }
int alone() { return sum_of_squares(1); }

Worker start(const std::string& method) {
  if (method == "fork-before") {
    // The parent's own region would be the next worker's past: it is left to the fresh image.
    return fork_worker(with_team);
  }
  with_team();
  if (method == "spawn") return spawn_worker("squares");
  return fork_worker(method == "fork-one-thread" ? alone : with_team);
}

int main(int argc, char** argv) {
  omp_set_dynamic(0);  // two threads also where there is one processor
  return run_program(argc, argv, kDescription, one_by_one(start, with_team));
}
