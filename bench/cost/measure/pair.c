/* The pair of calls that tools are compared on, and the memory of a thread.
 *
 *   cost_pair N           nanoseconds of pthread_mutex_lock + unlock, a second thread alive
 *   cost_pair threads N   bytes of memory of a thread that took a lock, of N
 *
 * Plain C without anything else, so that the same file is compiled with -fsanitize=thread and runs
 * under valgrind. The number goes to standard output.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/cost/measure/page.h"

static int gate[2], arrived[2];

static void* wait_at_gate(void* unused) {
  pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
  char byte = 0;
  (void)unused;
  pthread_mutex_lock(&mine);
  pthread_mutex_unlock(&mine);
  if (write(arrived[1], &byte, 1) != 1) return NULL;
  if (read(gate[0], &byte, 1) < 0) return NULL; /* ends when the gate is closed */
  return NULL;
}

static pthread_t start_thread(void) {
  pthread_t thread;
  char byte;
  if (pthread_create(&thread, NULL, wait_at_gate, NULL) != 0) exit(3);
  if (read(arrived[0], &byte, 1) != 1) exit(3);
  return thread;
}

/* Proportional set size: shared pages count by their share. */
static long memory_bytes(void) {
  FILE* file = fopen("/proc/self/smaps_rollup", "r");
  char line[256];
  long kib = -1;
  if (file == NULL) exit(4);
  while (kib < 0 && fgets(line, sizeof line, file) != NULL) sscanf(line, "Pss: %ld", &kib);
  fclose(file);
  return kib * 1024;
}

static void measure_memory(int count) {
  pthread_t* threads = malloc((size_t)count * sizeof *threads);
  threads[0] = start_thread(); /* what the first one needs is no thread's own */
  memory_bytes();              /* nor is stdio's buffer */
  const long before = memory_bytes();
  for (int i = 1; i < count; ++i) threads[i] = start_thread();
  printf("%.1f\n", (double)(memory_bytes() - before) / (count - 1));
  close(gate[1]);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  free(threads);
}

static void measure_pair(long count) {
  static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  const pthread_t other = start_thread();
  const int64_t begin = now_ns();
  for (long i = 0; i < count; ++i) {
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
  }
  printf("%.3f\n", (double)(now_ns() - begin) / (double)count);
  close(gate[1]);
  pthread_join(other, NULL);
}

int main(int argc, char** argv) {
  if (argc < 2 || pipe(gate) != 0 || pipe(arrived) != 0) return 2;
  if (strcmp(argv[1], "threads") == 0 && argc == 3 && atoi(argv[2]) > 1)
    measure_memory(atoi(argv[2]));
  else if (atol(argv[1]) > 0)
    measure_pair(atol(argv[1]));
  else
    return 2;
  return 0;
}
