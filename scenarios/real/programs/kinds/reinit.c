/* A mutex that another thread has at the fork, and that the child makes anew in time: healthy.
 * reinit handler|code. */
#include "kinds.h"

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;

static void take(void) { pthread_mutex_lock(&cache_lock); }
static void make_anew(void) { pthread_mutex_init(&cache_lock, NULL); }
static void make_anew_and_take(void) {
  make_anew();
  take();
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  int handler = !strcmp(argv[1], "handler");
  if (handler) pthread_atfork(NULL, NULL, make_anew);
  return run_lock("held", take, handler ? take : make_anew_and_take);
}
