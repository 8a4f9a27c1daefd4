// Scenario logger-lock: a forked worker logs, and another thread of the parent was logging.
//
// Cause: nearly every program logs from every thread, through one lock. A fork meets it taken
// sooner or later, and the child's first line of log is its last act. This is the hang that people
// meet first: CPython's logging, glog, spdlog and log4cxx have all had it.
//
//   net-0:  log("accepted") > lock(log_lock) > format ............... unlock
//   main:                                              fork
//   worker (a copy of main alone):                     log("started") > lock(log_lock)  for ever
//
// The method fork-atfork is how a library does it right: prepare takes the lock, so that no other
// thread can be inside; parent and child, who both are the forking thread, unlock.
#include <pthread.h>
#include <unistd.h>

#include <cstdio>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "logger-lock",
    .title = "fork while a thread logs, and log in the child",
    .cause =
        "The threads of a program log through one lock. A thread of the parent had it at the "
        "fork; the child inherits it locked, without the thread, and hangs at its first message.",
    .mechanism =
        "The thread stops in the middle of formatting a message, inside the lock, until "
        "the worker has been started.",
    .cure =
        "In the logger: take the lock in the prepare handler of pthread_atfork and unlock it in "
        "the parent and in the child handler. In the program: fork before threads are started, "
        "exec at once, or start workers with posix_spawn (Python: "
        "multiprocessing.get_context(\"spawn\")).",
    .source = "scenarios/logger_lock.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked while a thread formats a message; the worker logs"),
        lucky("fork-lucky", "the thread has logged before the fork, and lives on")
            .as_timing_of("fork"),
        silent("spawn", "the same moment, but the worker is a fresh image by posix_spawn"),
        silent("fork-exec", "the same moment, but the child execs at once"),
        silent("fork-first", "control: forked before the process has a second thread"),
        silent("fork-atfork", "control: the logger has at-fork handlers; the fork waits for it"),
    }};

pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
char last_message[64];  // guarded by it

void lock_log() { pthread_mutex_lock(&log_lock); }
void unlock_log() { pthread_mutex_unlock(&log_lock); }

[[gnu::noinline]] int log_message() {
  lock_log();
  std::snprintf(last_message, sizeof last_message, "%d: started", static_cast<int>(getpid()));
  unlock_log();
  return 0;
}

Worker fork_and_exec() {
  FreshImage image("log");
  const pid_t pid = fork();
  if (pid == 0) image.exec();
  return image.worker(pid);
}

/// The fork waits in its prepare handler for the thread, which goes on when it sees that.
Worker fork_with_handlers() {
  static const int registered = pthread_atfork(lock_log, unlock_log, unlock_log);
  if (registered != 0) throw_errno("cannot register at-fork handlers", registered);
  Holder logger("net-0", lock_log, [main = gettid()] {
    wait_until_blocked_on(main, log_lock);
    unlock_log();
  });
  logger.let_go();
  return fork_worker(log_message);
}

Worker start(const std::string& method) {
  if (method == "fork-first") return fork_worker(log_message);
  if (method == "fork-atfork") return fork_with_handlers();
  if (method == "fork-lucky") {
    const Holder logger = Holder::that_had("net-0", lock_log, unlock_log);
    return fork_worker(log_message);
  }
  const Holder logger("net-0", lock_log, unlock_log);
  if (method == "spawn") return spawn_worker("log");
  return method == "fork-exec" ? fork_and_exec() : fork_worker(log_message);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, log_message));
}
