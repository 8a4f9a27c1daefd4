/* Loses seven bytes, keeps eleven that only a thread's stack knows, and ends while that thread
   runs: a leak checker counts the seven. */
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

static pthread_barrier_t g_allocated;
void* volatile g_lost;

static void* keep(void* unused) {
  (void)unused;
  char* volatile kept = malloc(11);
  pthread_barrier_wait(&g_allocated);
  for (;;) pause();
  return kept;
}

int main(void) {
  pthread_t thread;
  pthread_barrier_init(&g_allocated, NULL, 2);
  if (pthread_create(&thread, NULL, keep, NULL) != 0) return 90;
  pthread_barrier_wait(&g_allocated);
  g_lost = malloc(7);
  g_lost = NULL;
  return 0;
}
