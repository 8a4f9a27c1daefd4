/* What exposure.py looks at.

     exposure_target THREADS PAIRS

   THREADS - 1 threads hold a mutex each and wait. The main thread locks and unlocks another one
   PAIRS times and prints the nanoseconds of its processor time that a pair took. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct place {
  pthread_mutex_t lock;
} __attribute__((aligned(64)));

static pthread_barrier_t all_hold;
static int never[2];

static void* hold(void* place) {
  char byte;
  pthread_mutex_lock(&((struct place*)place)->lock);
  pthread_barrier_wait(&all_hold);
  return read(never[0], &byte, 1) < 0 ? place : NULL;
}

static double cpu_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  const int threads = atoi(argv[1]);
  const long pairs = atol(argv[2]);
  struct place* places = aligned_alloc(64, (size_t)threads * sizeof *places);
  if (places == NULL || threads < 1 || pipe(never) != 0) return 1;
  pthread_barrier_init(&all_hold, NULL, (unsigned)threads);
  for (int i = 0; i < threads; ++i) {
    pthread_t thread;
    pthread_mutex_init(&places[i].lock, NULL);
    if (i > 0 && pthread_create(&thread, NULL, hold, &places[i]) != 0) return 1;
  }
  pthread_barrier_wait(&all_hold);
  const double begin = cpu_now();
  for (long i = 0; i < pairs; ++i) {
    pthread_mutex_lock(&places[0].lock);
    pthread_mutex_unlock(&places[0].lock);
  }
  printf("%.3f\n", (cpu_now() - begin) / (double)pairs);
  fflush(stdout);
  _exit(0);
}
