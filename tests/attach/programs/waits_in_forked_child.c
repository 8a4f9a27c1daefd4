// The forked child of a process that has a pool, a reader, and a thread that holds a mutex the
// child never asks for. It waits for what can happen: input, time, its own threads. With the second
// argument "parent-ends" the parent is gone by then.
#define _GNU_SOURCE
#include <aio.h>
#include <sys/syscall.h>

#include "waits_for_threads.h"

static pthread_mutex_t parents_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t parents_jobs = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t parents_threads;

static void* parents_worker(void* unused) {
  (void)unused;
  pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mine);
  g_mutex_lock(&busy_library_lock);  // a lost thread knows of it, and has it not
  __atomic_store_n(&busy_library_lock, 0, __ATOMIC_RELEASE);
  pthread_barrier_wait(&parents_threads);
  for (;;) pthread_cond_wait(&parents_jobs, &mine);
  return NULL;
}

static void* parents_holder(void* unused) {
  (void)unused;
  pthread_mutex_lock(&parents_mutex);
  pthread_barrier_wait(&parents_threads);
  read_for_ever();
  return NULL;
}

static void start_parents_threads(void) {
  pthread_barrier_init(&parents_threads, NULL, 3);
  start_thread("parents-worker", parents_worker, NULL);
  start_thread("parents-holder", parents_holder, NULL);
  pthread_barrier_wait(&parents_threads);
}

static void read_pipe(void) {
  this_is_the_target();
  read_for_ever();
}

static void sleeps(void) {
  this_is_the_target();
  sleep(1000);
}

static void handle_expiry(union sigval unused) { (void)unused; }

/// The kernel's timer wakes glibc's helper thread, which sits in sigwaitinfo without a time limit.
static void timer_thread(void) {
  struct sigevent event = {.sigev_notify = SIGEV_THREAD};
  event.sigev_notify_function = handle_expiry;
  timer_t timer;
  check(timer_create(CLOCK_MONOTONIC, &event, &timer) == 0, "timer_create");
  const struct itimerspec hour = {.it_value = {3600, 0}};
  check(timer_settime(timer, 0, &hour, NULL) == 0, "timer_settime");
  this_is_the_target();
  wait_on(&job_done);
}

/// aio_suspend waits on a futex for a thread of glibc's that reads.
static void asynchronous_read(void) {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  char byte;
  struct aiocb request = {.aio_fildes = ends[0], .aio_buf = &byte, .aio_nbytes = 1};
  check(aio_read(&request) == 0, "aio_read");
  const struct aiocb* const list[] = {&request};
  this_is_the_target();
  aio_suspend(list, 1, NULL);
}

/// Uses a processor, and is not waiting for anybody.
static void computes(void) {
  this_is_the_target();
  for (volatile unsigned number = 0;; ++number) {
  }
}

static void* computer_thread(void* unused) {
  (void)unused;
  for (volatile unsigned number = 0;; ++number) {
  }
  return NULL;
}

/// Waits for the result of a thread that is at work.
static void condition_of_computer(void) {
  start_thread("computer", computer_thread, NULL);
  this_is_the_target();
  wait_on(&job_done);
}

enum { kFutexWaitPrivate = 128 };  // musl's compiler does not find <linux/futex.h>

static int own_word;
static pthread_cond_t own_condition = PTHREAD_COND_INITIALIZER;

/// Parks for ever, as a program does that leaves all else to signals: nobody was ever to wake it.
static void parks(void) {
  this_is_the_target();
  for (;;) syscall(SYS_futex, &own_word, kFutexWaitPrivate, 0, NULL, NULL, 0);
}

static void parks_in_condition(void) {
  this_is_the_target();
  wait_on(&own_condition);
}

static void end_process(int number) {
  (void)number;
  _exit(0);
}

static void parks_until_signal(void) {
  signal(SIGTERM, end_process);
  parks();
}

static void fork_and(void (*child)(void), int parent_stays) {
  start_parents_threads();
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  const pid_t pid = fork();
  if (pid == 0) {
    if (parent_stays) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
    } else {  // until the parent is gone
      char byte;
      close(ends[1]);
      check(read(ends[0], &byte, 1) == 0, "read");
    }
    child();
    _exit(1);
  }
  if (parent_stays) waitpid(pid, NULL, 0);
}

int main(int argc, char** argv) {
  static const struct Mode modes[] = {MODES_OF_THREADS,
                                      {"read-pipe", read_pipe},
                                      {"sleep", sleeps},
                                      {"parks", parks},
                                      {"parks-in-condition", parks_in_condition},
                                      {"parks-until-signal", parks_until_signal},
                                      {"timer-thread", timer_thread},
                                      {"asynchronous-read", asynchronous_read},
                                      {"computes", computes},
                                      {"condition-of-computer", condition_of_computer}};
  const int parent_ends = argc == 3 && strcmp(argv[2], "parent-ends") == 0;
  for (size_t i = 0; argc == 2 + parent_ends && i < sizeof modes / sizeof modes[0]; ++i)
    if (strcmp(modes[i].name, argv[1]) == 0) {
      fork_and(modes[i].run, !parent_ends);
      return 0;
    }
  dprintf(2, "usage: %s MODE [parent-ends]\n", argv[0]);
  return 2;
}
