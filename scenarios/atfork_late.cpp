// Scenario atfork-late: the handlers that would have protected the child were registered too late.
//
// Cause: pthread_atfork works from its call on. A library that registers at its first use, or a
// program that does so when it gets to it, has forked unprotected until then. Nothing tells: the
// handlers are there when one looks.
//
//   loader-0: lock(cache_lock) .................................... unlock
//   main:                       fork    pthread_atfork(lock, unlock, unlock)
//   worker (a copy of main alone):      lock(cache_lock)  waits for ever
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "atfork-late",
    .title = "at-fork handlers that were registered after the fork",
    .cause =
        "A lock is protected by pthread_atfork, but the handlers were registered only after a "
        "child had been forked beside threads: that child inherits the lock as another thread "
        "held it.",
    .mechanism = "The thread stays inside its critical section until the worker has been started.",
    .cure =
        "Register handlers before the first thread is started: in a constructor of the library, "
        "or at the start of main().",
    .source = "scenarios/atfork_late.cpp",
    .methods = {
        hangs("late", "orphaned-lock", "registered right after the fork")
            .and_finds("atfork-handler", "note"),
        silent("early", "control: registered first; the fork waits until the thread has unlocked"),
    }};

pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

void lock_cache() { pthread_mutex_lock(&cache_lock); }
void unlock_cache() { pthread_mutex_unlock(&cache_lock); }

void protect_cache() {
  static const int registered = pthread_atfork(lock_cache, unlock_cache, unlock_cache);
  if (registered != 0) throw_errno("cannot register handlers", registered);
}

[[gnu::noinline]] int use_cache() {
  lock_cache();
  unlock_cache();
  return 0;
}

Worker start(const std::string& method) {
  const bool early = method == "early";
  if (early) protect_cache();
  const auto forker = static_cast<pid_t>(syscall(SYS_gettid));
  // With handlers the fork waits for the lock: the thread gives it up when it sees that.
  Holder loader("loader-0", lock_cache, [early, forker] {
    if (early) wait_until_blocked_on(forker, cache_lock);
    unlock_cache();
  });
  if (early) loader.let_go();
  Worker worker = fork_worker(use_cache);
  protect_cache();
  return worker;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, one_by_one(start)); }
