// Scenario nested-fork: the lock that hangs the grandchild was lost two forks ago.
//
// Cause: a forked child that execs nothing hands on what it inherited. The first fork loses the
// thread and leaves the lock taken; the child never uses it and works well; the grandchild does and
// hangs. There never was a second thread in the process that forked it.
//
//   cache-0: lock(cache_lock) ........................................ unlock
//   main:                      fork
//   child (a copy of main):          works > fork
//   worker (a copy of the child):                  lock(cache_lock)  for ever
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdexcept>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "nested-fork",
    .title = "fork twice: the grandchild wants a lock that was orphaned by the first fork",
    .cause =
        "A process is forked while a thread holds a lock, and the child forks again: a daemon, a "
        "server that forks before it works. The grandchild inherits the lock at second hand, "
        "from a parent that had one thread only, and hangs.",
    .mechanism =
        "The thread stays inside its critical section until the worker has been started. The "
        "process between never touches the lock.",
    .cure =
        "Fork before threads are started, at every level; or start the child with posix_spawn, so "
        "that nothing is handed on.",
    .source = "scenarios/nested_fork.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "the grandchild locks"),
        lucky("fork-lucky", "the thread has unlocked before the first fork, and lives on")
            .as_timing_of("fork"),
        completes("fork-unused", {}, "the grandchild does not use the lock: a hazard, at most"),
        silent("spawn", "the child is a fresh image, and forks the grandchild from that"),
    }};

pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
int entries = 0;  // guarded by it

void lock() { pthread_mutex_lock(&cache_lock); }
void unlock() { pthread_mutex_unlock(&cache_lock); }

[[gnu::noinline]] int use_cache() {
  lock();
  const int count = entries;
  unlock();
  return count;
}

int do_nothing() { return 0; }

/// In the process between: forks a worker, waits for it, and gives its wait status.
int fork_again(int news, int number_to, int (*work)()) {
  const pid_t pid = fork();
  if (pid < 0) throw_errno("cannot fork");
  if (pid == 0) serve(news, work);
  close(news);
  if (write(number_to, &pid, sizeof pid) != sizeof pid) throw_errno("cannot tell the PID");
  int status = 0;
  if (waitpid(pid, &status, 0) != pid) throw_errno("cannot wait for the worker");
  return status;
}

/// The worker is our child's child: its PID comes over a pipe, its status with the child's end.
Worker fork_twice(int (*work)()) {
  NewsPipe news = NewsPipe::open(), number = NewsPipe::open();
  const auto requested = Clock::now();
  const pid_t child = fork();
  if (child < 0) throw_errno("cannot fork");
  if (child == 0) {
    const int status = fork_again(news.write_end.get(), number.write_end.get(), work);
    _exit(WIFEXITED(status) ? WEXITSTATUS(status) : kWorkerEndedEarly);
  }
  number.write_end.close();
  pid_t worker = -1;
  if (read(number.read_end.get(), &worker, sizeof worker) != sizeof worker)
    throw std::runtime_error("the child did not start the worker");
  Worker result = started(worker, std::move(news), requested);
  result.reap = [child] {
    int status = 0;
    if (waitpid(child, &status, 0) != child) throw_errno("cannot wait for the child");
    return status;
  };
  return result;
}

/// In the fresh image.
std::int64_t fork_from_fresh_image() {
  const pid_t pid = fork();
  if (pid == 0) _exit(use_cache());
  int status = 0;
  if (pid < 0 || waitpid(pid, &status, 0) != pid) throw_errno("cannot start the grandchild");
  return status;
}

Worker start(const std::string& method) {
  if (method == "fork-lucky") {
    const Holder cache = Holder::that_had("cache-0", lock, unlock);
    return fork_twice(use_cache);
  }
  const Holder cache("cache-0", lock, unlock);
  if (method == "spawn") return spawn_worker("cache");
  return fork_twice(method == "fork-unused" ? do_nothing : use_cache);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, fork_from_fresh_image));
}
