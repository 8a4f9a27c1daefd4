/* A program that tells forkscope of itself: annotate_probe MODE.
   Built as C89, C99, C++, static, non-PIE and with -z defs by annotate_header_test.sh, so it keeps
   to what all of them know. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "forkscope/annotate.h"

/* A lock of its own: one byte in the middle of others. */
static char bytes[8];
static char *const own_lock = bytes + 3;
static pthread_barrier_t taken;

static void take(char *lock) {
  FORKSCOPE_LOCK_ACQUIRING(lock);
  while (__atomic_test_and_set(lock, __ATOMIC_ACQUIRE)) sched_yield();
  FORKSCOPE_LOCK_ACQUIRED(lock);
}

static void give(char *lock) {
  FORKSCOPE_LOCK_RELEASING(lock);
  __atomic_clear(lock, __ATOMIC_RELEASE);
}

static void *hold_own(void *unused) {
  take(own_lock);
  pthread_barrier_wait(&taken);
  while (1) pause();
  return unused;
}

static void *hold_mutex(void *mutex) {
  pthread_mutex_lock((pthread_mutex_t *)mutex);
  pthread_barrier_wait(&taken);
  while (1) pause();
  return mutex;
}

static void start(void *(*routine)(void *), void *argument) {
  pthread_t thread;
  pthread_barrier_init(&taken, (const pthread_barrierattr_t *)0, 2);
  if (pthread_create(&thread, (const pthread_attr_t *)0, routine, argument) != 0) exit(97);
  pthread_barrier_wait(&taken);
}

static int wait_for(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) return 98;
  return WIFSIGNALED(status) ? 10 : WEXITSTATUS(status);
}

/* A mutex on the heap, with a name or without. */
static int heap(int named) {
  pthread_mutex_t *mutex = (pthread_mutex_t *)malloc(sizeof *mutex);
  pid_t child;
  pthread_mutex_init(mutex, (const pthread_mutexattr_t *)0);
  if (named) FORKSCOPE_LOCK_NAME(mutex, "orders table");
  start(hold_mutex, mutex);
  child = fork();
  if (child == 0) {
    pthread_mutex_lock(mutex);
    _exit(0);
  }
  return wait_for(child);
}

static int own(int touches, int declared) {
  pid_t child;
  FORKSCOPE_LOCK_NAME(own_lock, "own lock");
  start(hold_own, (void *)0);
  if (declared) FORKSCOPE_FORK_SAFE_BEGIN("the child only exits");
  child = fork();
  if (child == 0) {
    if (touches) {
      take(own_lock);
      give(own_lock);
    }
    _exit(0);
  }
  FORKSCOPE_FORK_SAFE_END();
  return wait_for(child);
}

/* The second fork is none of those that are declared safe. */
static int declared_once(void) {
  pid_t child;
  start(hold_own, (void *)0);
  FORKSCOPE_FORK_SAFE_BEGIN("the child only exits");
  child = fork();
  if (child == 0) _exit(0);
  FORKSCOPE_FORK_SAFE_END();
  if (wait_for(child) != 0) return 96;
  child = fork();
  if (child == 0) _exit(0);
  return wait_for(child);
}

int main(int argc, char **argv) {
  const char *mode = argc > 1 ? argv[1] : "";
  if (strcmp(mode, "heap") == 0) return heap(0);
  if (strcmp(mode, "heap-named") == 0) return heap(1);
  if (strcmp(mode, "own") == 0) return own(1, 0);
  if (strcmp(mode, "own-untouched") == 0) return own(0, 0);
  if (strcmp(mode, "own-declared") == 0) return own(0, 1);
  if (strcmp(mode, "own-declared-wrongly") == 0) return own(1, 1);
  if (strcmp(mode, "declared-once") == 0) return declared_once();
  if (strcmp(mode, "bare") == 0) {
    /* What the header does without forkscope: nothing, and correctly. */
    take(own_lock);
    give(own_lock);
    FORKSCOPE_LOCK_FORGET(own_lock);
    printf("%s\n", forkscope_hooks_1_() == (const struct forkscope_hooks_1 *)0 ? "alone" : "observed");
    return 0;
  }
  return 99;
}
