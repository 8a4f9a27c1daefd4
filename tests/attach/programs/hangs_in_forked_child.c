// Hangs that the scenarios do not show: the forked child has threads, handlers or descendants of
// its own, or nobody forked at all. Except in the modes whose names begin with "stuck", the child
// waits for what only a thread of the process it was forked from would do.
#define _GNU_SOURCE
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

#include "library_lock.h"
#include "target.h"

static pthread_mutex_t cache_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t index_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t idle_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static pthread_cond_t result_ready = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t both;
static int font_lock;

static void* holds_cache_lock(void* unused) {
  (void)unused;
  pthread_mutex_lock(&cache_lock);
  pthread_barrier_wait(&both);
  read_for_ever();
  return NULL;
}

static void start_cache_filler(void) {
  pthread_barrier_init(&both, NULL, 2);
  start_thread("cache-filler", holds_cache_lock, NULL);
  pthread_barrier_wait(&both);
}

static void wait_for(pthread_cond_t* condition) {
  pthread_mutex_lock(&idle_lock);
  for (;;) pthread_cond_wait(condition, &idle_lock);
}

static void* idle_thread(void* unused) {
  (void)unused;
  wait_for(&idle);
  return NULL;
}

static void fork_to(void (*child)(void)) {
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    child();
    _exit(1);
  }
  wait(NULL);
}

static void lock_cache(void) {
  this_is_the_target();
  pthread_mutex_lock(&cache_lock);
}

static void simple(void) {
  start_cache_filler();
  fork_to(lock_cache);
}

/// Whoever is asked about is the parent, which has idle threads and only waits.
static void two_children(void) {
  start_cache_filler();
  for (int i = 0; i < 64; ++i) start_thread("idle", idle_thread, NULL);
  for (int i = 0; i < 2; ++i) {
    if (fork() != 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    lock_cache();
    _exit(1);
  }
  while (wait(NULL) > 0) {
  }
}

/// The child's own threads are idle, as real Polars' new runtime is.
static void lock_with_own_pool(void) {
  start_thread("idle-0", idle_thread, NULL);
  start_thread("idle-1", idle_thread, NULL);
  lock_cache();
}

static void own_pool(void) {
  start_cache_filler();
  fork_to(lock_with_own_pool);
}

/// One thread of the child waits for the lost holder, the first one for that thread.
static void* takes_index_then_cache(void* unused) {
  (void)unused;
  pthread_mutex_lock(&index_lock);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&cache_lock);
  return NULL;
}

static void chain_in_child(void) {
  start_thread("indexer", takes_index_then_cache, NULL);
  pthread_barrier_wait(&both);
  this_is_the_target();
  pthread_mutex_lock(&index_lock);
}

static void chain(void) {
  start_cache_filler();
  fork_to(chain_in_child);
}

static void* locks_cache(void* unused) {
  (void)unused;
  pthread_mutex_lock(&cache_lock);
  return NULL;
}

static void join_in_child(void) {
  const pthread_t thread = start_thread("asks", locks_cache, NULL);
  this_is_the_target();
  pthread_join(thread, NULL);
}

static void joins_hung_thread(void) {
  start_cache_filler();
  fork_to(join_in_child);
}

/// The process in the middle is single-threaded and lives; the holder is two generations up.
static void fork_once_more(void) { fork_to(lock_cache); }

static void grandchild(void) {
  start_cache_filler();
  fork_to(fork_once_more);
}

static void parent_gone(void) {
  start_cache_filler();
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  if (fork() != 0) _exit(0);
  char byte;
  close(ends[1]);
  check(read(ends[0], &byte, 1) == 0, "read");
  lock_cache();
}

/// A handler that unlocks a mutex would be an error, so this one proves nothing.
static void ignore(int number) { (void)number; }

static void lock_with_handler(void) {
  signal(SIGTERM, ignore);
  lock_cache();
}

static void signal_handler(void) {
  start_cache_filler();
  fork_to(lock_with_handler);
}

static void lock_cache_at_fork(void) {
  this_is_the_target();
  pthread_mutex_lock(&cache_lock);
}

static void child_handler(void) {
  start_cache_filler();
  pthread_atfork(NULL, NULL, lock_cache_at_fork);
  fork_to(lock_cache);
}

/// A condition of the lost pool, while the child has an idle pool of its own.
static void wait_with_own_pool(void) {
  start_thread("idle-0", idle_thread, NULL);
  start_thread("idle-1", idle_thread, NULL);
  this_is_the_target();
  pthread_mutex_t mine = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mine);
  for (;;) pthread_cond_wait(&result_ready, &mine);
}

static void lost_pool_own_pool(void) {
  start_thread("worker-0", idle_thread, NULL);
  fork_to(wait_with_own_pool);
}

/// All threads of the child hang, each on the same lock.
static void all_threads_in_child(void) {
  start_thread("asks-0", locks_cache, NULL);
  start_thread("asks-1", locks_cache, NULL);
  lock_cache();
}

static void all_threads(void) {
  start_cache_filler();
  fork_to(all_threads_in_child);
}

/// A thread of the child that serves goes on; the first one never will.
static void lock_with_server(void) {
  start_thread("server", reader_thread, NULL);
  lock_cache();
}

static void beside_a_server(void) {
  start_cache_filler();
  fork_to(lock_with_server);
}

/// A lock that does not say who holds it.
static void* holds_font_lock(void* unused) {
  (void)unused;
  g_mutex_lock(&font_lock);
  pthread_barrier_wait(&both);
  read_for_ever();
  return NULL;
}

static void start_font_loader(void) {
  pthread_barrier_init(&both, NULL, 2);
  start_thread("font-loader", holds_font_lock, NULL);
  pthread_barrier_wait(&both);
}

static void lock_font(void) {
  this_is_the_target();
  g_mutex_lock(&font_lock);
  dprintf(2, "font_lock was free\n");  // so that the call above is no jump
}

static void ownerless(void) {
  start_font_loader();
  fork_to(lock_font);
}

static void lock_font_with_server(void) {
  start_thread("server", reader_thread, NULL);
  lock_font();
}

static void ownerless_beside_a_server(void) {
  start_font_loader();
  fork_to(lock_font_with_server);
}

static void* draws(void* unused) {
  (void)unused;
  lock_font();
  return NULL;
}

static void serve_while_other_draws(void) {
  start_thread("draws", draws, NULL);
  read_for_ever();
}

static void ownerless_in_second_thread(void) {
  start_font_loader();
  fork_to(serve_while_other_draws);
}

// ---- for ever, but not because of a fork --------------------------------------------------------

static void* takes_index(void* unused) {
  (void)unused;
  pthread_mutex_lock(&index_lock);
  pthread_barrier_wait(&both);
  pthread_mutex_lock(&cache_lock);
  return NULL;
}

static void each_has_the_others(void) {
  pthread_barrier_init(&both, NULL, 2);
  pthread_mutex_lock(&cache_lock);
  start_thread("other", takes_index, NULL);
  pthread_barrier_wait(&both);
  this_is_the_target();
  pthread_mutex_lock(&index_lock);
}

static void stuck_abba(void) { each_has_the_others(); }
static void stuck_abba_forked(void) { fork_to(each_has_the_others); }

static void stuck_twice(void) {
  pthread_mutex_lock(&cache_lock);
  lock_cache();
}

static void locked_twice(void) {
  pthread_mutex_lock(&index_lock);
  this_is_the_target();
  pthread_mutex_lock(&index_lock);
}

/// Of a threaded process, but the mutex was free at the fork.
static void stuck_twice_forked(void) {
  start_cache_filler();
  fork_to(locked_twice);
}

int main(int argc, char** argv) {
  static const struct Mode modes[] = {{"simple", simple},
                                      {"two-children", two_children},
                                      {"own-pool", own_pool},
                                      {"chain", chain},
                                      {"joins-hung-thread", joins_hung_thread},
                                      {"grandchild", grandchild},
                                      {"parent-gone", parent_gone},
                                      {"signal-handler", signal_handler},
                                      {"child-handler", child_handler},
                                      {"lost-pool-own-pool", lost_pool_own_pool},
                                      {"all-threads", all_threads},
                                      {"beside-a-server", beside_a_server},
                                      {"ownerless", ownerless},
                                      {"ownerless-beside-a-server", ownerless_beside_a_server},
                                      {"ownerless-in-second-thread", ownerless_in_second_thread},
                                      {"stuck-abba", stuck_abba},
                                      {"stuck-abba-forked", stuck_abba_forked},
                                      {"stuck-twice", stuck_twice},
                                      {"stuck-twice-forked", stuck_twice_forked}};
  return RUN_MODE(argc, argv, modes);
}
