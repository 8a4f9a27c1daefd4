// A process that nobody forked and whose threads wait for each other, for input and for time. Built
// with musl, statically and for 32 bits as well.
#define _GNU_SOURCE
#include "waits_for_threads.h"

/// Half of them without a time limit.
static void thousand_threads(void) {
  start_pool(500);
  for (int i = 0; i < 499; ++i) start_thread("sleeper", sleeper_thread, NULL);
  this_is_the_target();
  epoll_for_ever();
}

/// The first thread has ended, which makes the process look like a zombie; the others serve.
static void first_thread_ended(void) {
  start_pool(2);
  start_thread("event-loop", epoll_thread, NULL);
  this_is_the_target();
  pthread_exit(NULL);
}

int main(int argc, char** argv) {
  static const struct Mode modes[] = {MODES_OF_THREADS,
                                      {"thousand-threads", thousand_threads},
                                      {"first-thread-ended", first_thread_ended}};
  return RUN_MODE(argc, argv, modes);
}
