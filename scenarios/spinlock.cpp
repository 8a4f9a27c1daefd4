// Scenario spinlock: a forked child spins on a lock that a thread of the parent holds.
//
// Cause: a spinlock is one word that says "taken". fork() copies the word and not the thread that
// would clear it. The child does not sleep: it uses a processor, which looks like work.
//
//   counter-0: spin_lock(hits_lock) ..................... spin_unlock
//   main:                             fork
//   worker (a copy of main alone):    spin_lock(hits_lock)  spins for ever
#include <pthread.h>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "spinlock",
    .title = "fork while a thread holds a spinlock",
    .cause =
        "A thread of the parent holds a pthread spinlock at the fork. The child inherits the "
        "taken lock without the thread, and spins on it for ever at full load.",
    .mechanism = "The thread stays inside its critical section until the worker has been started.",
    .cure =
        "Take the lock in the prepare handler of pthread_atfork and unlock it in the parent and "
        "in the child handler; or start workers with posix_spawn.",
    .source = "scenarios/spinlock.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked while a thread counts; the worker counts too")
            .seen_from_outside("probable", "orphaned-lock"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        lucky("fork-lucky", "the thread has unlocked before the fork, and lives on")
            .as_timing_of("fork"),
        silent("fork-released", "control: the thread has unlocked and ended before the fork"),
    }};

pthread_spinlock_t hits_lock;
long hits = 0;  // guarded by it

[[gnu::noinline]] int count_hit() {
  pthread_spin_lock(&hits_lock);
  ++hits;
  return pthread_spin_unlock(&hits_lock);
}

void lock() { pthread_spin_lock(&hits_lock); }
void unlock() { pthread_spin_unlock(&hits_lock); }

Worker start(const std::string& method) {
  if (method == "fork-lucky") {
    const Holder counter = Holder::that_had("counter-0", lock, unlock);
    return fork_worker(count_hit);
  }
  Holder counter("counter-0", lock, unlock);
  if (method == "spawn") return spawn_worker("hits");
  if (method == "fork-released") counter.finish();
  return fork_worker(count_hit);
}

int main(int argc, char** argv) {
  pthread_spin_init(&hits_lock, PTHREAD_PROCESS_PRIVATE);
  return run_program(argc, argv, kDescription, one_by_one(start, count_hit));
}
