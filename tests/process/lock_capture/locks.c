// Hangs a thread named "waiter" on one kind of lock, for capture.py. Says on standard output where
// the lock is and which thread has it, then stays. Builds with glibc and with musl.
#define _GNU_SOURCE
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <link.h>
#endif

static pthread_barrier_t start;  // everything that must be before the wait, is
static union {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  pthread_cond_t cond;
  pthread_barrier_t barrier;
  pthread_once_t once;
  sem_t sem;
} place __attribute__((aligned(64)));
static pthread_mutex_t aside = PTHREAD_MUTEX_INITIALIZER;
static volatile int holder;

static void hold(void) {
  holder = (int)syscall(SYS_gettid);
  pthread_barrier_wait(&start);
  for (;;) pause();
}

static void be_waiter(void) {
  prctl(PR_SET_NAME, "waiter");
  pthread_barrier_wait(&start);
}

static void* hold_mutex(void* unused) {
  pthread_mutex_lock(&place.mutex);
  hold();
  return unused;
}
static void* wait_mutex(void* unused) {
  be_waiter();
  pthread_mutex_lock(&place.mutex);
  return unused;
}
static void* wait_mutex_for(void* unused) {
  struct timespec until;
  clock_gettime(CLOCK_REALTIME, &until);
  until.tv_sec += 100;
  be_waiter();
  pthread_mutex_timedlock(&place.mutex, &until);
  return unused;
}
static void* hold_reading(void* unused) {
  pthread_rwlock_rdlock(&place.rwlock);
  hold();
  return unused;
}
static void* hold_writing(void* unused) {
  pthread_rwlock_wrlock(&place.rwlock);
  hold();
  return unused;
}
static void* wait_reading(void* unused) {
  be_waiter();
  pthread_rwlock_rdlock(&place.rwlock);
  return unused;
}
static void* wait_writing(void* unused) {
  be_waiter();
  pthread_rwlock_wrlock(&place.rwlock);
  return unused;
}
__attribute__((unused)) static void* another_writer(void* unused) {
  pthread_rwlock_wrlock(&place.rwlock);
  return unused;
}
static void* wait_cond(void* unused) {
  pthread_mutex_lock(&aside);
  be_waiter();
  for (;;) pthread_cond_wait(&place.cond, &aside);
  return unused;
}
static void* another_cond_waiter(void* unused) {
  pthread_mutex_lock(&aside);
  for (;;) pthread_cond_wait(&place.cond, &aside);
  return unused;
}
static void* destroy_cond(void* unused) {
  be_waiter();
  pthread_cond_destroy(&place.cond);
  return unused;
}
static void* wait_sem(void* unused) {
  be_waiter();
  sem_wait(&place.sem);
  return unused;
}
static void* wait_barrier(void* unused) {
  be_waiter();
  pthread_barrier_wait(&place.barrier);
  return unused;
}
static void* do_once(void* unused) {
  pthread_once(&place.once, hold);
  return unused;
}
static void nothing(void) {}
static void* wait_once(void* unused) {
  be_waiter();
  pthread_once(&place.once, nothing);
  return unused;
}
static void* only_hold(void* unused) {
  hold();
  return unused;
}
static pthread_t joined;
static void* wait_join(void* unused) {
  be_waiter();
  pthread_join(joined, NULL);
  return unused;
}
static void* hold_stream(void* unused) {
  flockfile(stderr);
  hold();
  return unused;
}
static void* wait_stream(void* unused) {
  be_waiter();
  flockfile(stderr);
  return unused;
}
#ifdef __GLIBC__
static int hold_in_callback(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info, (void)size, (void)unused;
  hold();
  return 1;
}
static int ignore(struct dl_phdr_info* info, size_t size, void* unused) {
  (void)info, (void)size, (void)unused;
  return 1;
}
static void* hold_loader(void* unused) {
  dl_iterate_phdr(hold_in_callback, NULL);
  return unused;
}
static void* wait_loader(void* unused) {
  be_waiter();
  dl_iterate_phdr(ignore, NULL);
  return unused;
}
#endif

static void* change_environment(void* unused) {
  for (unsigned i = 0;; ++i) {
    char text[16];
    snprintf(text, sizeof text, "%u", i);
    setenv("LOCK_CAPTURE", text, 1);
  }
  return unused;
}

// A lock inside libc cannot be held on purpose: fork until the child finds it taken.
static int hang_on_environment(void) {
  pthread_t thread;
  pthread_create(&thread, NULL, change_environment, NULL);
  for (;;) {
    pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, 9);
      prctl(PR_SET_NAME, "waiter");
      setenv("LOCK_CAPTURE_CHILD", "1", 1);
      _exit(0);
    }
    for (int tries = 0; tries < 20; ++tries) {
      if (waitpid(child, NULL, WNOHANG) == child) break;
      if (tries == 19) {
        printf("process %d\nlock 0\nowner 0\n", child);
        fflush(stdout);
        for (;;) pause();
      }
      usleep(2000);
    }
  }
}

static void mutex_of(int type, int robust, int shared, int protocol) {
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_settype(&attr, type);
  if (robust) pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
  if (shared) pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  if (protocol) pthread_mutexattr_setprotocol(&attr, protocol);
  if (pthread_mutex_init(&place.mutex, &attr) != 0) exit(77);
}

static void rwlock_of(int shared, int kind) {
  pthread_rwlockattr_t attr;
  pthread_rwlockattr_init(&attr);
  if (shared) pthread_rwlockattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
#ifdef __GLIBC__
  pthread_rwlockattr_setkind_np(&attr, kind);
#else
  (void)kind;
#endif
  pthread_rwlock_init(&place.rwlock, &attr);
}

static void cond_of(int shared) {
  pthread_condattr_t attr;
  pthread_condattr_init(&attr);
  if (shared) pthread_condattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&place.cond, &attr);
}

typedef void* Routine(void*);
static Routine *first, *between, *last;

static int choose(const char* kind) {
  int is = 1;
#define IS(name) (strcmp(kind, name) == 0 && (is = 1))
  first = hold_mutex, last = wait_mutex;
  if (IS("mutex"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, 0);
  else if (IS("recursive"))
    mutex_of(PTHREAD_MUTEX_RECURSIVE, 0, 0, 0);
  else if (IS("errorcheck"))
    mutex_of(PTHREAD_MUTEX_ERRORCHECK, 0, 0, 0);
#ifdef __GLIBC__
  else if (IS("adaptive"))
    mutex_of(PTHREAD_MUTEX_ADAPTIVE_NP, 0, 0, 0);
  else if (IS("protected"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PRIO_PROTECT);
  else if (IS("loader"))
    first = hold_loader, last = wait_loader;
  else if (IS("rwlock-yield"))
    rwlock_of(0, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP),
        first = hold_reading, between = another_writer, last = wait_reading;
#endif
  else if (IS("robust"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 1, 0, 0);
  else if (IS("robust-recursive"))
    mutex_of(PTHREAD_MUTEX_RECURSIVE, 1, 0, 0);
  else if (IS("shared-mutex"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 0, 1, 0);
  else if (IS("inherit"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, PTHREAD_PRIO_INHERIT);
  else if (IS("inherit-recursive"))
    mutex_of(PTHREAD_MUTEX_RECURSIVE, 0, 0, PTHREAD_PRIO_INHERIT);
  else if (IS("timed-mutex"))
    mutex_of(PTHREAD_MUTEX_NORMAL, 0, 0, 0), last = wait_mutex_for;
  else if (IS("rwlock-read-write"))
    rwlock_of(0, 0), first = hold_writing, last = wait_reading;
  else if (IS("rwlock-write-read"))
    rwlock_of(0, 0), first = hold_reading, last = wait_writing;
  else if (IS("rwlock-write-write"))
    rwlock_of(0, 0), first = hold_writing, last = wait_writing;
  else if (IS("shared-rwlock"))
    rwlock_of(1, 0), first = hold_writing, last = wait_writing;
  else if (IS("cond"))
    cond_of(0), first = only_hold, last = wait_cond;
  else if (IS("shared-cond"))
    cond_of(1), first = only_hold, last = wait_cond;
  else if (IS("cond-destroy"))
    cond_of(0), first = only_hold, between = another_cond_waiter, last = destroy_cond;
  else if (IS("sem"))
    sem_init(&place.sem, 0, 0), first = only_hold, last = wait_sem;
  else if (IS("shared-sem"))
    sem_init(&place.sem, 1, 0), first = only_hold, last = wait_sem;
  else if (IS("barrier"))
    pthread_barrier_init(&place.barrier, NULL, 3), first = only_hold, last = wait_barrier;
  else if (IS("once"))
    first = do_once, last = wait_once;
  else if (IS("join"))
    first = only_hold, last = wait_join;
  else if (IS("stream"))
    first = hold_stream, last = wait_stream;
  else
    is = 0;
  return is;
}

// Until the thread sleeps in a futex wait: only then is it counted where that matters.
static void until_asleep(void) { usleep(200000); }

int main(int count, char** arguments) {
  if (count != 2) return 2;
  prctl(PR_SET_PDEATHSIG, 9);
  alarm(120);
  if (strcmp(arguments[1], "environment") == 0) return hang_on_environment();
  if (!choose(arguments[1])) return 2;
  pthread_barrier_init(&start, NULL, 2);
  pthread_t thread;
  pthread_create(&joined, NULL, first, NULL);
  pthread_barrier_wait(&start);
  if (between) {
    pthread_create(&thread, NULL, between, NULL);
    until_asleep();
  }
  const char* kind = arguments[1];
  const int elsewhere = !strcmp(kind, "join") || !strcmp(kind, "stream") || !strcmp(kind, "loader");
  printf("lock %#lx\nowner %d\n", elsewhere ? 0 : (unsigned long)&place, holder);
  pthread_create(&thread, NULL, last, NULL);
  pthread_barrier_wait(&start);
  printf("process %d\n", getpid());
  fflush(stdout);
  for (;;) pause();
}
