// Scenario semaphore-lock: a semaphore of value 1 serves as a lock, as in CPython up to 3.13.
//
// Cause: a thread of the parent has waited on the semaphore and not posted it yet. fork() copies
// the value 0 and not the thread. A semaphore has no owner: that the thread waited last and did
// not post is the only trace.
//
//   session-0: sem_wait(session_lock) ..................... sem_post
//   main:                               fork
//   worker (a copy of main alone):      sem_wait(session_lock)  for ever
//
// The control fork-signal-posts looks alike and is correct: what the child waits for is posted by
// its own signal handler.
#include <semaphore.h>
#include <signal.h>
#include <sys/time.h>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "semaphore-lock",
    .title = "fork while a semaphore is used as a lock",
    .cause =
        "A thread of the parent has taken a semaphore of value 1 as a lock (CPython's "
        "threading.Lock was one up to 3.13). The child inherits the value 0 without the "
        "thread that would post it, and waits for ever.",
    .mechanism = "The thread keeps the semaphore until the worker has been started.",
    .cure =
        "Give the child a semaphore of its own: sem_init in the child handler of "
        "pthread_atfork, after sem_wait in the prepare handler; or start workers with "
        "posix_spawn (Python: multiprocessing.get_context(\"spawn\")).",
    .source = "scenarios/semaphore_lock.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked while a thread has the semaphore; the worker waits")
            .seen_from_outside("deadlock", "lost-thread"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        lucky("fork-lucky", "the thread has posted before the fork, and lives on")
            .as_timing_of("fork"),
        silent("fork-posted", "control: the thread has posted and ended before the fork"),
        silent("fork-signal-posts",
               "control: the worker waits for a semaphore that its own signal handler posts"),
    }};

sem_t session_lock;  // 1: free
sem_t alarm_rang;    // posted by the handler of SIGALRM alone

[[gnu::noinline]] int use_session() {
  while (sem_wait(&session_lock) != 0) {
  }
  return sem_post(&session_lock);
}

void on_alarm(int) { sem_post(&alarm_rang); }

[[gnu::noinline]] int wait_for_alarm() {
  struct sigaction action {};
  action.sa_handler = on_alarm;
  sigaction(SIGALRM, &action, nullptr);
  const itimerval once{{0, 0}, {0, 100'000}};  // long enough to be seen waiting
  setitimer(ITIMER_REAL, &once, nullptr);
  while (sem_wait(&alarm_rang) != 0) {  // EINTR: the handler ran
  }
  return 0;
}

void take_session() { sem_wait(&session_lock); }
void give_session_back() { sem_post(&session_lock); }

Worker start(const std::string& method) {
  if (method == "fork-lucky") {
    const Holder session = Holder::that_had("session-0", take_session, give_session_back);
    return fork_worker(use_session);
  }
  Holder session("session-0", take_session, give_session_back);
  if (method == "spawn") return spawn_worker("session");
  if (method == "fork-posted") session.finish();
  return fork_worker(method == "fork-signal-posts" ? wait_for_alarm : use_session);
}

int main(int argc, char** argv) {
  sem_init(&session_lock, 0, 1);
  sem_init(&alarm_rang, 0, 0);
  return run_program(argc, argv, kDescription, one_by_one(start, use_session));
}
