// Locks in memory that several processes share: whoever must act lives in another process, so that
// neither the owner's TID nor the number of threads says anything about a deadlock. In all modes
// the target is a forked child of a process with a second thread.
#define _GNU_SOURCE
#include <linux/futex.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "target.h"

static struct Shared {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  pthread_cond_t condition;
  pthread_barrier_t barrier;
  sem_t semaphore;
  _Atomic uint32_t word;
} * shared;

static void make_shared(void) {
  shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  check(shared != MAP_FAILED, "mmap");
  pthread_mutexattr_t of_mutex;
  pthread_mutexattr_init(&of_mutex);
  pthread_mutexattr_setpshared(&of_mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&shared->mutex, &of_mutex);
  pthread_rwlockattr_t of_rwlock;
  pthread_rwlockattr_init(&of_rwlock);
  pthread_rwlockattr_setpshared(&of_rwlock, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&shared->rwlock, &of_rwlock);
  pthread_condattr_t of_condition;
  pthread_condattr_init(&of_condition);
  pthread_condattr_setpshared(&of_condition, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&shared->condition, &of_condition);
  pthread_barrierattr_t of_barrier;
  pthread_barrierattr_init(&of_barrier);
  pthread_barrierattr_setpshared(&of_barrier, PTHREAD_PROCESS_SHARED);
  pthread_barrier_init(&shared->barrier, &of_barrier, 2);
  sem_init(&shared->semaphore, 1, 0);
}

static pthread_barrier_t taken;

static void* takes_mutex(void* unused) {
  (void)unused;
  pthread_mutex_lock(&shared->mutex);
  pthread_barrier_wait(&taken);
  read_for_ever();
  return NULL;
}

static void child_waits(void (*wait_in_child)(void)) {
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    this_is_the_target();
    wait_in_child();
    _exit(1);
  }
  wait(NULL);
}

static void lock_mutex(void) { pthread_mutex_lock(&shared->mutex); }
static void lock_rwlock(void) { pthread_rwlock_wrlock(&shared->rwlock); }
static void wait_condition(void) {
  pthread_mutex_lock(&shared->mutex);
  for (;;) pthread_cond_wait(&shared->condition, &shared->mutex);
}
static void wait_semaphore(void) { sem_wait(&shared->semaphore); }
static void wait_barrier(void) { pthread_barrier_wait(&shared->barrier); }
static void wait_word(void) { syscall(SYS_futex, &shared->word, FUTEX_WAIT, 0, NULL, NULL, 0); }

/// Held by the very thread that forks.
static void mutex_of_forker(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  pthread_mutex_lock(&shared->mutex);
  child_waits(lock_mutex);
}

static void mutex_of_other_thread(void) {
  make_shared();
  pthread_barrier_init(&taken, NULL, 2);
  start_thread("holder", takes_mutex, NULL);
  pthread_barrier_wait(&taken);
  child_waits(lock_mutex);
}

static void rwlock_mode(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  pthread_rwlock_rdlock(&shared->rwlock);
  child_waits(lock_rwlock);
}

static void condition_mode(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  child_waits(wait_condition);
}

static void semaphore_mode(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  child_waits(wait_semaphore);
}

static void barrier_mode(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  child_waits(wait_barrier);
}

static void futex_mode(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  child_waits(wait_word);
}

/// A sibling took it: its TID is none of the child's nor of the parent's.
static void mutex_of_sibling(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  if (fork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    pthread_mutex_lock(&shared->mutex);
    shared->word = 1;
    for (;;) pause();
  }
  while (shared->word == 0) sched_yield();
  child_waits(lock_mutex);
}

// A process that shares all memory with its parent: even a private futex has a waker elsewhere.
static _Atomic uint32_t private_word;

static int waits_on_private_word(void* unused) {
  (void)unused;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  dprintf(1, "target %d\n", (int)syscall(SYS_getpid));
  return (int)syscall(SYS_futex, &private_word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void shared_memory_clone(void) {
  static char stack[1 << 16] __attribute__((aligned(16)));
  start_thread("reader", reader_thread, NULL);
  check(clone(waits_on_private_word, stack + sizeof stack, CLONE_VM | SIGCHLD, NULL) > 0, "clone");
  wait(NULL);
}

// The child of a vfork shares all memory as well.
static pthread_mutex_t private_mutex = PTHREAD_MUTEX_INITIALIZER;

static void* takes_private_mutex(void* unused) {
  (void)unused;
  pthread_mutex_lock(&private_mutex);
  pthread_barrier_wait(&taken);
  read_for_ever();
  return NULL;
}

static void vfork_child(void) {
  pthread_barrier_init(&taken, NULL, 2);
  start_thread("holder", takes_private_mutex, NULL);
  pthread_barrier_wait(&taken);
  if (vfork() == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    dprintf(1, "target %d\n", (int)syscall(SYS_getpid));
    pthread_mutex_lock(&private_mutex);
    _exit(0);
  }
}

/// Of interest to a scan: forked, and in a futex call. The target is their parent.
static void thousand_processes(void) {
  make_shared();
  start_thread("reader", reader_thread, NULL);
  for (int i = 0; i < 1000; ++i) {
    const pid_t pid = fork();
    check(pid >= 0, "fork");
    if (pid > 0) continue;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (i % 2 == 0) sem_wait(&shared->semaphore);
    for (;;) pause();
  }
  this_is_the_target();
  wait(NULL);
}

int main(int argc, char** argv) {
  static const struct Mode modes[] = {{"mutex-of-forker", mutex_of_forker},
                                      {"mutex-of-other-thread", mutex_of_other_thread},
                                      {"mutex-of-sibling", mutex_of_sibling},
                                      {"rwlock", rwlock_mode},
                                      {"condition", condition_mode},
                                      {"semaphore", semaphore_mode},
                                      {"barrier", barrier_mode},
                                      {"futex", futex_mode},
                                      {"vfork-child", vfork_child},
                                      {"thousand-processes", thousand_processes},
                                      {"shared-memory-clone", shared_memory_clone}};
  return RUN_MODE(argc, argv, modes);
}
