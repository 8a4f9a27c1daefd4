/* OpenMP before and after a fork: openmp_fork MODE. libgomp makes its futex calls itself, so that
 * nothing of it passes a wrapper. */
#include <omp.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static omp_lock_t table_lock;
static pthread_barrier_t held;
static int count;

static void region(void) {
#pragma omp parallel num_threads(4)
  __atomic_fetch_add(&count, 1, __ATOMIC_SEQ_CST);
}

static void* keep_lock(void* unused) {
  (void)unused;
  omp_set_lock(&table_lock);
  pthread_barrier_wait(&held);
  for (;;) pause();
}

static void* stay_critical(void* unused) {
#pragma omp critical
  {
    pthread_barrier_wait(&held);
    for (;;) pause();
  }
  return unused;
}

static void start(void* (*body)(void*)) {
  pthread_t thread;
  pthread_barrier_init(&held, NULL, 2);
  pthread_create(&thread, NULL, body, NULL);
  pthread_setname_np(thread, "holder");
  pthread_barrier_wait(&held);
}

static void* wait_in_region(void* unused) {
#pragma omp parallel num_threads(3)
  {
#pragma omp master
    pause();
  }
  return unused;
}

int main(int argc, char** argv) {
  const char* mode = argc == 2 ? argv[1] : "region";
  omp_init_lock(&table_lock);
  if (strcmp(mode, "region") == 0) region();
  if (strcmp(mode, "lock") == 0) start(keep_lock);
  if (strcmp(mode, "critical") == 0) start(stay_critical);
  if (strncmp(mode, "own-", 4) == 0) {
    pthread_t thread;
    pthread_create(&thread, NULL, (void* (*)(void*))(void (*)(void))pause, NULL);
  }
  if (fork() == 0) {
    dprintf(1, "target %d\n", (int)getpid());
    if (strcmp(mode, "region") == 0 || strcmp(mode, "first-in-child") == 0) region();
    if (strcmp(mode, "lock") == 0) omp_set_lock(&table_lock);
    if (strcmp(mode, "own-region") == 0) wait_in_region(NULL); /* the team waits for its master */
    if (strcmp(mode, "own-idle") == 0) region(), pause();      /* the team is idle */
    if (strcmp(mode, "critical") == 0) {
#pragma omp critical
      ++count;
    }
    dprintf(1, "done\n");
    _exit(0);
  }
  wait(NULL);
}
