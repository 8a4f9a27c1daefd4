// Scenario fork-in-signal: a signal handler forks while the thread it interrupted holds a lock.
//
// Cause: fork() in a handler copies the thread in the middle of what it was doing. Crash reporters
// do this: the handler forks, and the child walks through the very data structures whose locks the
// interrupted code has. The owner of the lock is the thread that forked, in other words the child
// itself, which cannot get back to where it would unlock.
//
//   main: lock(heap_lock) > SIGUSR1 > handler: fork .................. back > unlock
//   worker (in the handler):                          lock(heap_lock)  for ever, its own
//
// POSIX.1-2024 takes fork() off the list of what a handler may call, for its at-fork handlers;
// _Fork() is on it. The lock is lost either way.
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <optional>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "fork-in-signal",
    .title = "fork in a signal handler that has interrupted a critical section",
    .cause =
        "A signal handler forks, as crash reporters do, while the thread that it interrupted "
        "holds a lock. The child goes on inside the handler, takes the same lock, and waits for "
        "ever for itself.",
    .mechanism = "The thread raises the signal in its critical section; the handler runs at once.",
    .cure =
        "Let the handler do nothing but exec a helper in the child, or wake a process that was "
        "started beforehand; block the signal where the lock is held.",
    .source = "scenarios/fork_in_signal.cpp",
    .methods = {
        hangs("fork", "self-held-lock", "raised inside the critical section; the child locks"),
        silent("fork-outside", "raised after the unlock").as_timing_of("fork"),
        silent("fork-exec", "control: raised inside; the child execs at once"),
        silent("fork-blocked", "control: the signal is blocked in the critical section"),
    }};

pthread_mutex_t heap_lock = PTHREAD_MUTEX_INITIALIZER;
int live_objects = 0;  // guarded by it

[[gnu::noinline]] int describe_heap() {
  pthread_mutex_lock(&heap_lock);
  const int count = live_objects;
  pthread_mutex_unlock(&heap_lock);
  return count;
}

// What the handler needs is made before: it may not allocate.
struct CrashReport {
  NewsPipe news = NewsPipe::open();
  FreshImage image{"report"};
  Clock::time_point requested = Clock::now();
  bool execs = false;
  volatile pid_t child = -1;
};
CrashReport* report = nullptr;

void on_crash(int) {
  report->child = fork();
  if (report->child != 0) return;
  if (report->execs) report->image.exec();
  serve(report->news.write_end.get(), describe_heap);
}

void raise_crash() {
  if (raise(SIGUSR1) != 0) throw_errno("cannot raise the signal");
}

void change_heap(const std::string& method) {
  const bool blocked = method == "fork-blocked";
  sigset_t crash, before;
  sigemptyset(&crash);
  sigaddset(&crash, SIGUSR1);
  if (blocked) pthread_sigmask(SIG_BLOCK, &crash, &before);
  pthread_mutex_lock(&heap_lock);
  if (method != "fork-outside") raise_crash();
  pthread_mutex_unlock(&heap_lock);
  if (method == "fork-outside") raise_crash();
  if (blocked) pthread_sigmask(SIG_SETMASK, &before, nullptr);
}

Worker start(const std::string& method) {
  CrashReport made;
  made.execs = method == "fork-exec";
  report = &made;
  struct sigaction action {};
  action.sa_handler = on_crash;
  sigaction(SIGUSR1, &action, nullptr);
  change_heap(method);
  if (made.execs) return made.image.worker(made.child);
  return started(made.child, std::move(made.news), made.requested);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, describe_heap));
}
