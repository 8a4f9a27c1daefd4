/* POSIX locks whose owner is known by the id of its thread: posix recursive|errorcheck|robust|plain
 * WHERE. Built for musl, too. */
#include "kinds.h"

static pthread_mutex_t cache_lock;

static void take(void) { pthread_mutex_lock(&cache_lock); }

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  pthread_mutexattr_t how;
  pthread_mutexattr_init(&how);
  if (!strcmp(argv[1], "recursive")) pthread_mutexattr_settype(&how, PTHREAD_MUTEX_RECURSIVE);
  if (!strcmp(argv[1], "errorcheck")) pthread_mutexattr_settype(&how, PTHREAD_MUTEX_ERRORCHECK);
  if (!strcmp(argv[1], "robust")) pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init(&cache_lock, &how);
  return run_lock(argv[2], take, take);
}
