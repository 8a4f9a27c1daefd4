// Ways to wait for threads of the own process. Each function first starts the threads it needs,
// says that this process is the target, and waits. They are used by a program that runs them at
// once and by one that runs them in the forked child of a threaded process: where all that is
// waited for is alive, the answer must be the same.
//
// Each runs once in a process.
#pragma once

#include <semaphore.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <time.h>

#include "library_lock.h"
#include "target.h"

static pthread_mutex_t wait_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t busy_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_rwlock_t busy_rwlock = PTHREAD_RWLOCK_INITIALIZER;
static pthread_cond_t job_added = PTHREAD_COND_INITIALIZER;
static pthread_cond_t job_done = PTHREAD_COND_INITIALIZER;
static int busy_library_lock;
static pthread_once_t first_use = PTHREAD_ONCE_INIT;
static pthread_barrier_t all_there, holder_has_it;
static sem_t ticket;

static void wait_on(pthread_cond_t* condition) {
  pthread_mutex_lock(&wait_mutex);
  for (;;) pthread_cond_wait(condition, &wait_mutex);
}

static void* idle_worker(void* unused) {
  (void)unused;
  wait_on(&job_added);
  return NULL;
}

static void start_pool(int threads) {
  for (int i = 0; i < threads; ++i) {
    char name[16];
    snprintf(name, sizeof name, "worker-%d", i % 1000);
    start_thread(name, idle_worker, NULL);
  }
}

static void epoll_for_ever(void) {
  struct epoll_event event;
  epoll_wait(epoll_create1(0), &event, 1, -1);
}

static void* epoll_thread(void* unused) {
  (void)unused;
  epoll_for_ever();
  return NULL;
}

static void pool_and_epoll(void) {
  start_pool(3);
  this_is_the_target();
  epoll_for_ever();
}

/// The thread that feeds the pool is not the first one: that one joins it.
static void pool_and_join(void) {
  start_pool(3);
  const pthread_t loop = start_thread("event-loop", epoll_thread, NULL);
  this_is_the_target();
  pthread_join(loop, NULL);
}

static void pool_and_sigwait(void) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &set, NULL);
  start_pool(3);
  int number;
  this_is_the_target();
  sigwait(&set, &number);
}

static void* sleeper_thread(void* unused) {
  (void)unused;
  sleep(1000);
  return NULL;
}

static void join_sleeper(void) {
  const pthread_t thread = start_thread("sleeper", sleeper_thread, NULL);
  this_is_the_target();
  pthread_join(thread, NULL);
}

static void join_reader(void) {
  const pthread_t thread = start_thread("reader", reader_thread, NULL);
  this_is_the_target();
  pthread_join(thread, NULL);
}

/// Waits for a condition that the reader would signal.
static void condition_of_reader(void) {
  start_thread("reader", reader_thread, NULL);
  this_is_the_target();
  wait_on(&job_done);
}

static void semaphore_of_reader(void) {
  sem_init(&ticket, 0, 0);
  start_thread("reader", reader_thread, NULL);
  this_is_the_target();
  while (sem_wait(&ticket) != 0) {
  }
}

static void* holds_mutex(void* unused) {
  (void)unused;
  pthread_mutex_lock(&busy_mutex);
  pthread_barrier_wait(&holder_has_it);
  read_for_ever();
  return NULL;
}

static void* holds_rwlock(void* unused) {
  (void)unused;
  pthread_rwlock_rdlock(&busy_rwlock);
  pthread_barrier_wait(&holder_has_it);
  read_for_ever();
  return NULL;
}

static void start_holder(void* (*body)(void*)) {
  pthread_barrier_init(&holder_has_it, NULL, 2);
  start_thread("holder", body, NULL);
  pthread_barrier_wait(&holder_has_it);
}

static void mutex_of_reader(void) {
  start_holder(holds_mutex);
  this_is_the_target();
  pthread_mutex_lock(&busy_mutex);
}

static void rwlock_of_reader(void) {
  start_holder(holds_rwlock);
  this_is_the_target();
  pthread_rwlock_wrlock(&busy_rwlock);
}

static void* holds_library_lock(void* lock) {
  g_mutex_lock(lock);
  pthread_barrier_wait(&holder_has_it);
  read_for_ever();
  return NULL;
}

/// Nothing in the lock says who has it, and its holder knows of it by what it was started with.
static void library_lock_of_reader(void) {
  pthread_barrier_init(&holder_has_it, NULL, 2);
  start_thread("holder", holds_library_lock, &busy_library_lock);
  pthread_barrier_wait(&holder_has_it);
  this_is_the_target();
  g_mutex_lock(&busy_library_lock);
}

static void* takes_library_lock(void* lock) {
  g_mutex_lock(lock);
  return NULL;
}

static void library_lock_of_first(void) {
  g_mutex_lock(&busy_library_lock);
  start_thread("waiter", takes_library_lock, &busy_library_lock);
  this_is_the_target();
  read_for_ever();
}

static void slow_initialiser(void) {
  pthread_barrier_wait(&holder_has_it);
  read_for_ever();
}

static void* initialises(void* unused) {
  (void)unused;
  pthread_once(&first_use, slow_initialiser);
  return NULL;
}

static void once_of_reader(void) {
  start_holder(initialises);
  this_is_the_target();
  pthread_once(&first_use, slow_initialiser);
}

static void barrier_with_reader(void) {
  pthread_barrier_init(&all_there, NULL, 2);
  start_thread("reader", reader_thread, NULL);
  this_is_the_target();
  pthread_barrier_wait(&all_there);
}

static struct timespec in_an_hour(clockid_t clock) {
  struct timespec when;
  clock_gettime(clock, &when);
  when.tv_sec += 3600;
  return when;
}

static void timed_condition(void) {
  const struct timespec when = in_an_hour(CLOCK_REALTIME);
  this_is_the_target();
  pthread_mutex_lock(&wait_mutex);
  while (pthread_cond_timedwait(&job_done, &wait_mutex, &when) == 0) {
  }
}

static void timed_semaphore(void) {
  const struct timespec when = in_an_hour(CLOCK_REALTIME);
  sem_init(&ticket, 0, 0);
  this_is_the_target();
  sem_timedwait(&ticket, &when);
}

static void post_ticket(int number) {
  (void)number;
  sem_post(&ticket);
}

/// sem_post is what a signal handler may call to wake somebody.
static void semaphore_of_handler(void) {
  sem_init(&ticket, 0, 0);
  signal(SIGUSR1, post_ticket);
  start_pool(2);
  this_is_the_target();
  while (sem_wait(&ticket) != 0) {
  }
}

// clang-format off
#define MODES_OF_THREADS                                                                        \
  {"pool-and-epoll", pool_and_epoll}, {"pool-and-join", pool_and_join},                         \
  {"pool-and-sigwait", pool_and_sigwait}, {"join-sleeper", join_sleeper},                       \
  {"join-reader", join_reader}, {"condition-of-reader", condition_of_reader},                   \
  {"semaphore-of-reader", semaphore_of_reader}, {"mutex-of-reader", mutex_of_reader},           \
  {"rwlock-of-reader", rwlock_of_reader}, {"once-of-reader", once_of_reader},                   \
  {"library-lock-of-reader", library_lock_of_reader},                                           \
  {"library-lock-of-first", library_lock_of_first},                                             \
  {"barrier-with-reader", barrier_with_reader}, {"timed-condition", timed_condition},           \
  {"timed-semaphore", timed_semaphore}, {"semaphore-of-handler", semaphore_of_handler}
// clang-format on
