/* A lock in a regular file: shared KIND FILE WHO. KIND is mutex, rwlock, sem or cond. WHO is `process`,
 * another process has it and may give it back: healthy; or `thread`, the mapping is private, and a
 * thread of the parent has it: hangs. */
#include <fcntl.h>
#include <semaphore.h>
#include <sys/mman.h>

#include "kinds.h"

typedef struct {
  pthread_mutex_t mutex;
  pthread_rwlock_t rwlock;
  sem_t sem;
  pthread_mutex_t cond_mutex;
  pthread_cond_t cond;
} Locks;

static Locks* locks;
static const char* kind;

static void take(void) {
  if (!strcmp(kind, "mutex")) pthread_mutex_lock(&locks->mutex);
  if (!strcmp(kind, "rwlock")) pthread_rwlock_wrlock(&locks->rwlock);
  if (!strcmp(kind, "sem")) sem_wait(&locks->sem);
}

static void wait_for_signal(void) {
  pthread_mutex_lock(&locks->cond_mutex);
  for (;;) pthread_cond_wait(&locks->cond, &locks->cond_mutex);
}

int main(int argc, char** argv) {
  if (argc < 4) return 2;
  kind = argv[1];
  int private = !strcmp(argv[3], "thread");
  int file = open(argv[2], O_RDWR | O_CREAT, 0600);
  if (file < 0 || ftruncate(file, 4096) != 0) abort();
  void* memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, private ? MAP_PRIVATE : MAP_SHARED, file, 0);
  if (memory == MAP_FAILED) abort();
  close(file);
  locks = memory;
  pthread_mutexattr_t mutex;
  pthread_mutexattr_init(&mutex);
  pthread_mutexattr_setpshared(&mutex, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init(&locks->mutex, &mutex);
  pthread_mutex_init(&locks->cond_mutex, &mutex);
  pthread_rwlockattr_t rwlock;
  pthread_rwlockattr_init(&rwlock);
  pthread_rwlockattr_setpshared(&rwlock, PTHREAD_PROCESS_SHARED);
  pthread_rwlock_init(&locks->rwlock, &rwlock);
  pthread_condattr_t cond;
  pthread_condattr_init(&cond);
  pthread_condattr_setpshared(&cond, PTHREAD_PROCESS_SHARED);
  pthread_cond_init(&locks->cond, &cond);
  sem_init(&locks->sem, 1, 1);
  Step wait = strcmp(kind, "cond") ? take : wait_for_signal;
  if (private) return run_lock("held", take, wait);
  prepare();
  if (fork() == 0) {
    take();
    inside();
    wait_for_events();
  }
  await_inside();
  start("poller", poller, NULL);
  await_inside();
  return fork_and(wait);
}
