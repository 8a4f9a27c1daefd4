// What the preload library cannot judge, and what only looks like it: watch_probe MODE [COUNT].
// The program of the tests of the watchdog (cli_watchdog_test.cpp). Its children wait by system
// calls of their own, as libgomp and libc do; no wrapper sees those. Nothing here sleeps to be in
// time: who has to be there has said so.
//
// Ends with 10 when its child was killed, 11 when the child was aborted, 12 when it asked in vain
// for a child that hangs, else with the child's status.

#include <pthread.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "tests/process/inline_futex.hpp"
#include "tests/process/watch_pool.hpp"

namespace {

int to_child[2];

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) != child) {
  }
  if (!WIFSIGNALED(status)) return WEXITSTATUS(status);
  return WTERMSIG(status) == SIGABRT ? 11 : 10;
}

pid_t fork_and_say() {
  pid_t child = fork();
  if (child > 0) {
    std::printf("%d\n", child);
    std::fflush(stdout);
  }
  return child;
}

/// A pool whose worker is gone, and nothing else: one thread, which waits for ever.
int lost_worker() {
  work_pool::start();
  pid_t child = fork_and_say();
  if (child == 0) {
    work_pool::wait_for_work();
    _exit(0);
  }
  return wait_for(child);
}

void* idles(void* barrier) {
  pthread_barrier_wait(static_cast<pthread_barrier_t*>(barrier));
  pause();
  return nullptr;
}

/// The child parks for ever, on purpose, on a word that no thread of the parent knows. The parent
/// has a thread that runs code of the same file.
int parks() {
  pthread_barrier_t barrier;
  pthread_barrier_init(&barrier, nullptr, 2);
  pthread_t thread;
  pthread_create(&thread, nullptr, idles, &barrier);
  pthread_barrier_wait(&barrier);
  pid_t child = fork_and_say();
  static std::atomic<int> word{0};
  while (child == 0) work_pool::futex(&word, FUTEX_WAIT, 0);
  return wait_for(child);
}

void* reads_a_pipe(void*) {
  char c;
  ssize_t size = read(to_child[0], &c, 1);
  work_pool::finish_work();
  return size == 1 ? nullptr : to_child;
}

/// The child has a thread of its own, which does something else.
int lost_worker_beside_other() {
  work_pool::start();
  if (pipe(to_child) != 0) return 1;
  pid_t child = fork_and_say();
  if (child == 0) {
    pthread_t thread;
    pthread_create(&thread, nullptr, reads_a_pipe, nullptr);
    pthread_setname_np(thread, "reader");
    work_pool::wait_for_work();
    _exit(0);
  }
  return wait_for(child);
}

/// The child starts its pool anew and waits for it: it will be woken, when our input ends.
int new_pool() {
  work_pool::start();
  if (pipe(to_child) != 0) return 1;
  pid_t child = fork_and_say();
  if (child == 0) {
    work_pool::start();
    pthread_t thread;
    pthread_create(&thread, nullptr, reads_a_pipe, nullptr);
    pthread_setname_np(thread, "pool-reader");
    work_pool::wait_for_work();
    _exit(0);
  }
  char c;
  while (read(STDIN_FILENO, &c, 1) > 0) {
  }
  if (write(to_child[1], "x", 1) != 1) return 1;
  return wait_for(child);
}

void call_localtime() {
  const time_t now = 1700000000;
  tm local;
  localtime_r(&now, &local);
}

void* calls_localtime(void*) {
  while (true) call_localtime();
}

/// Forks until a child meets the lock of localtime_r taken, which fork does not reset, and is
/// killed for it. Where it does not come to that, there is nothing to see.
int libc_lock() {
  for (int i = 0; i < 2; ++i) {
    pthread_t thread;
    pthread_create(&thread, nullptr, calls_localtime, nullptr);
  }
  for (int round = 0; round < 3000; ++round) {
    pid_t child = fork();
    if (child == 0) {
      call_localtime();
      _exit(0);
    }
    if (int status = wait_for(child); status != 0) return status;
  }
  return 12;
}

/// One child asks memory over and over what the lost worker would have written there; the other
/// never leaves the first instruction of a function.
int spin() {
  work_pool::start();
  pid_t asks = fork_and_say();
  if (asks == 0) {
    work_pool::spin_for_work();
    _exit(0);
  }
  pid_t stays = fork_and_say();
  if (stays == 0) {
    work_pool::spin_at_entry();
    _exit(0);
  }
  return wait_for(asks) + wait_for(stays);
}

/// The child waits for the lost worker in rounds.
int rounds() {
  work_pool::start();
  pid_t child = fork_and_say();
  if (child == 0) {
    work_pool::wait_for_work_in_rounds();
    _exit(0);
  }
  return wait_for(child);
}

void* works_later(void* seconds) {
  sleep(static_cast<unsigned>(*static_cast<int*>(seconds)));
  work_pool::finish_work();
  return nullptr;
}

/// The child waits in rounds for a thread of its own, which is done after `seconds`.
int fed_rounds(int seconds) {
  work_pool::start();
  pid_t child = fork_and_say();
  if (child == 0) {
    work_pool::start();
    pthread_t thread;
    pthread_create(&thread, nullptr, works_later, &seconds);
    work_pool::wait_for_work_in_rounds();
    _exit(0);
  }
  return wait_for(child);
}

/// The child computes for `seconds`, in one function of the pool, and ends.
int computes(int seconds) {
  work_pool::start();
  pid_t child = fork_and_say();
  if (child == 0) _exit(work_pool::compute(time(nullptr) + seconds) == 0);
  return wait_for(child);
}

}  // namespace

int main(int argc, char** argv) {
  const char* mode = argc > 1 ? argv[1] : "";
  const int number = argc > 2 ? std::atoi(argv[2]) : 0;
  const auto is = [mode](const char* name) { return std::strcmp(mode, name) == 0; };
  if (is("lost-worker")) return lost_worker();
  if (is("parks")) return parks();
  if (is("lost-worker-beside-other")) return lost_worker_beside_other();
  if (is("new-pool")) return new_pool();
  if (is("libc-lock")) return libc_lock();
  if (is("spin")) return spin();
  if (is("rounds")) return rounds();
  if (is("fed-rounds")) return fed_rounds(number);
  if (is("computes")) return computes(number);
  std::fprintf(stderr, "watch_probe: unknown mode '%s'\n", mode);
  return 99;
}
