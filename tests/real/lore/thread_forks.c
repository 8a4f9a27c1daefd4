/* Threads other than the main one fork at the same time; every child starts a thread of its own,
   joins it, and forks in turn, to a depth of four. The locks are the thread's own. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kThreads = 4, kRounds = 10, kDepth = 4 };

static pthread_barrier_t g_start;

static void* lock_once(void* argument) {
  pthread_mutex_lock(argument);
  pthread_mutex_unlock(argument);
  return NULL;
}

/* Gives how many generations came to be below this one. */
static int generations(int depth) {
  pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  pthread_t thread;
  if (pthread_create(&thread, NULL, lock_once, &lock) != 0) return 100;
  pthread_join(thread, NULL);
  if (depth == 0) return 0;
  pthread_mutex_lock(&lock); /* held by the forking thread, and released by both */
  pid_t child = fork();
  pthread_mutex_unlock(&lock);
  if (child == 0) _exit(generations(depth - 1));
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child || !WIFEXITED(status)) return 100;
  return WEXITSTATUS(status) + 1;
}

static void* fork_often(void* argument) {
  int* good = argument;
  pthread_barrier_wait(&g_start);
  for (int i = 0; i < kRounds; ++i) *good += generations(kDepth) == kDepth;
  return NULL;
}

int main(void) {
  pthread_t threads[kThreads];
  int good[kThreads] = {0}, all = 0;
  pthread_barrier_init(&g_start, NULL, kThreads);
  for (int i = 0; i < kThreads; ++i)
    if (pthread_create(&threads[i], NULL, fork_often, &good[i]) != 0) return 90;
  for (int i = 0; i < kThreads; ++i) {
    pthread_join(threads[i], NULL);
    all += good[i];
  }
  printf("%d of %d families are complete\n", all, kThreads * kRounds);
  return 0;
}
