/* A pool of threads that fork does not copy: pool MODE. Built stripped, too, as a part of a program
 * of which nothing is known but its exported names.
 *   gone, ended   the child has had threads of its own, on the stacks that showed the lost ones; they
 *                 live, or have ended. It waits for the lost pool
 *   timed         it waits with a limit, again and again, and does nothing else
 *   spin, nap     it looks again and again, without a pause or with one
 *   eventfd       it waits in poll() for what a lost thread would write
 *   other         the child has another pool of the same program, made anew
 *   own-...       healthy: the pool that it waits for is its own, and at work
 *   beats         healthy: it waits with a limit, and works in between
 *   ticks, naps   healthy: the same with nothing to be seen in between, until SIGTERM's handler
 *   sleeps        healthy: it sleeps, again and again
 *   computes      healthy: no wait at all
 *   alike         healthy: the same, by a function that lost threads were in, too
 *   pipe          healthy: it waits in poll() for its parent's pipe */
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <time.h>

#include "kinds.h"

static pthread_mutex_t pool_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t job_done = PTHREAD_COND_INITIALIZER, job_added = PTHREAD_COND_INITIALIZER;
static int jobs, done, io_jobs;
static pthread_cond_t io_added = PTHREAD_COND_INITIALIZER;
static atomic_int done_flag;
static int done_event;
static int busy;

static void* pool_worker(void* unused) {
  (void)unused;
  pthread_mutex_lock(&pool_mutex);
  for (;;) {
    while (jobs == 0) pthread_cond_wait(&job_added, &pool_mutex);
    --jobs;
    if (busy) {
      pthread_mutex_unlock(&pool_mutex);
      wait_for_events();
    }
    ++done;
    atomic_store(&done_flag, 1);
    uint64_t one = 1;
    if (write(done_event, &one, sizeof one) < 0) abort();
    pthread_cond_signal(&job_done);
  }
  return NULL;
}

static void* io_worker(void* unused) {
  (void)unused;
  pthread_mutex_lock(&pool_mutex);
  for (;;) {
    while (io_jobs == 0) pthread_cond_wait(&io_added, &pool_mutex);
    --io_jobs;
  }
  return NULL;
}

static void add_job(void) {
  pthread_mutex_lock(&pool_mutex);
  ++jobs;
  done = 0;
  atomic_store(&done_flag, 0);
  pthread_cond_signal(&job_added);
  pthread_mutex_unlock(&pool_mutex);
}

static void wait_for_job(void) {
  pthread_mutex_lock(&pool_mutex);
  while (done == 0) pthread_cond_wait(&job_done, &pool_mutex);
  pthread_mutex_unlock(&pool_mutex);
}

static void deadline(struct timespec* when, long nanoseconds) {
  clock_gettime(CLOCK_REALTIME, when);
  when->tv_nsec += nanoseconds;
  when->tv_sec += when->tv_nsec / 1000000000;
  when->tv_nsec %= 1000000000;
}

static void wait_for_job_timed(void) {
  pthread_mutex_lock(&pool_mutex);
  while (done == 0) {
    struct timespec when;
    deadline(&when, 50000000);
    pthread_cond_timedwait(&job_done, &pool_mutex, &when);
  }
  pthread_mutex_unlock(&pool_mutex);
}

static void beat(void) {
  static volatile unsigned long beats;
  int null = dup(2);
  pthread_mutex_lock(&pool_mutex);
  while (done == 0) {
    struct timespec when;
    deadline(&when, 50000000);
    pthread_cond_timedwait(&job_done, &pool_mutex, &when);
    ++beats;
    if (write(null, "", 0) < 0) abort();
  }
  pthread_mutex_unlock(&pool_mutex);
}

static void spin_for_job(void) {
  while (!atomic_load(&done_flag)) {
  }
}

static void nap_for_job(void) {
  struct timespec nap = {0, 2000000};
  while (!atomic_load(&done_flag)) nanosleep(&nap, NULL);
}

static void yield_for_job(void) {
  while (!atomic_load(&done_flag)) sched_yield();
}

static void poll_for_job(void) {
  struct pollfd events = {done_event, POLLIN, 0};
  while (!done) poll(&events, 1, -1);
}

static volatile double sum;
static void compute(void) {
  for (unsigned long i = 1;; ++i) sum += 1.0 / (double)i;
}

static void* compute_too(void* unused) {
  inside();
  compute();
  return unused;
}

static atomic_int stopped;
static void stop(int unused) {
  (void)unused;
  stopped = 1;
}

static void tick(void) {
  static volatile unsigned long ticks;
  signal(SIGTERM, stop);
  pthread_mutex_lock(&pool_mutex);
  while (!stopped) {
    struct timespec when;
    deadline(&when, 50000000);
    pthread_cond_timedwait(&job_done, &pool_mutex, &when);
    ++ticks;
  }
  pthread_mutex_unlock(&pool_mutex);
}

static void nap_until_stopped(void) {
  struct timespec nap = {0, 2000000};
  signal(SIGTERM, stop);
  while (!stopped) nanosleep(&nap, NULL);
}

static void sleep_on(void) {
  for (;;) usleep(20000);
}

static int from_parent[2];
static void poll_pipe(void) {
  struct pollfd events = {from_parent[0], POLLIN, 0};
  poll(&events, 1, -1);
}

static void* short_lived(void* unused) {
  volatile char stack[65536];
  memset((char*)stack, 1, sizeof stack);
  return unused;
}

static const char* mode;

static void child(void) {
  int own = !strncmp(mode, "own-", 4);
  const char* how = own ? mode + 4 : mode;
  /* With the lost waiters still in it, pthread_cond_signal() may hang by itself: another kind. */
  pthread_cond_init(&job_added, NULL);
  if (own) {
    busy = 1;
    start("pool-own", pool_worker, NULL);
  }
  if (!strcmp(how, "gone")) {
    for (int i = 0; i < 3; ++i) start("poller", poller, NULL), await_inside();
  }
  if (!strcmp(how, "ended")) {
    pthread_t threads[3];
    for (int i = 0; i < 3; ++i) pthread_create(&threads[i], NULL, short_lived, NULL);
    for (int i = 0; i < 3; ++i) pthread_join(threads[i], NULL);
  }
  if (!strcmp(how, "other")) {
    start("io-0", io_worker, NULL);
    start("io-1", io_worker, NULL);
  }
  add_job();
  if (!strcmp(how, "timed")) wait_for_job_timed();
  if (!strcmp(how, "spin")) spin_for_job();
  if (!strcmp(how, "nap")) nap_for_job();
  if (!strcmp(how, "yield")) yield_for_job();
  if (!strcmp(how, "eventfd")) poll_for_job();
  if (!strcmp(how, "beats")) beat();
  if (!strcmp(how, "ticks")) tick();
  if (!strcmp(how, "naps")) nap_until_stopped();
  if (!strcmp(how, "sleeps")) sleep_on();
  if (!strcmp(how, "computes") || !strcmp(how, "alike")) compute();
  if (!strcmp(how, "pipe")) poll_pipe();
  wait_for_job();
}

int main(int argc, char** argv) {
  if (argc < 2) return 2;
  mode = argv[1];
  prepare();
  done_event = eventfd(0, 0);
  if (pipe(from_parent) != 0) abort();
  start("pool-0", pool_worker, NULL);
  start("pool-1", pool_worker, NULL);
  if (!strcmp(mode, "other") || !strcmp(mode, "own-other")) {
    start("io-0", io_worker, NULL);
    start("io-1", io_worker, NULL);
  }
  if (!strcmp(mode, "alike")) {
    start("computes", compute_too, NULL);
    await_inside();
  }
  add_job();
  wait_for_job();
  uint64_t drained;
  if (read(done_event, &drained, sizeof drained) < 0) abort();
  return fork_and(child);
}
