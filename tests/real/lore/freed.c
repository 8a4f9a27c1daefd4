/* A thread reads memory that it gave back: a sanitizer says so, and who created the thread. */
#include <pthread.h>
#include <stdlib.h>

static void* read_after_free(void* unused) {
  char* volatile memory = malloc(4);
  (void)unused;
  free(memory);
  return memory[1] != 0 ? NULL : &memory;
}

int main(void) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, read_after_free, NULL) != 0) return 90;
  return pthread_join(thread, NULL);
}
