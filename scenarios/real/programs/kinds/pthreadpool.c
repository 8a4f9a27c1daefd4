/* A pool of libpthreadpool: pthreadpool both|child. */
#include <pthreadpool.h>

#include "kinds.h"

static pthreadpool_t pool;

static void add(void* sum, size_t i) {
  __atomic_fetch_add((size_t*)sum, i, __ATOMIC_RELAXED);
}

static void use(void) {
  size_t sum = 0;
  if (!pool) pool = pthreadpool_create(3);
  pthreadpool_parallelize_1d(pool, add, &sum, 1000, 0);
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  prepare();
  start("poller", poller, NULL);
  await_inside();
  if (!strcmp(argv[1], "both")) use();
  return fork_and(use);
}
