/* Processes to look at from outside, for measure.py: the parent's GIB gibibytes are resident, it
 * has THREADS threads, one of which holds a lock when it forks CHILDREN children.
 *
 *   target GIB THREADS CHILDREN (hang | unseen | wait) [MILLISECONDS before the forks]
 *
 * The children hang on that lock, also by a system call that no library sees, or wait for the end
 * of a pipe as healthy ones do, until the parent is killed. Prints the PIDs, the parent's first,
 * when all of them wait. */
#include <pthread.h>
#include <linux/futex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, pool_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t ready;

static void* idle(void* unused) {
  pthread_mutex_lock(&pool_lock);
  pthread_barrier_wait(&ready);
  for (;;) pthread_cond_wait(&work, &pool_lock);
  return unused;
}

static void* holder(void* unused) {
  pthread_mutex_lock(&lock);
  pthread_barrier_wait(&ready);
  pause();
  return unused;
}

/* As libc does inside pthread_mutex_lock(), from where nobody can interpose it. */
static void wait_unseen(void) {
  register void* timeout __asm__("r10") = NULL;
  const int contended = 2;
  __atomic_store_n(&lock.__data.__lock, contended, __ATOMIC_SEQ_CST);
  for (;;) {
    long result = SYS_futex;
    __asm__ volatile("syscall"
                     : "+a"(result)
                     : "D"(&lock.__data.__lock), "S"(FUTEX_WAIT_PRIVATE), "d"(contended), "r"(timeout)
                     : "rcx", "r11", "memory");
  }
}

int main(int argc, char** argv) {
  if (argc != 5 && argc != 6) return 2;
  const size_t bytes = (size_t)atoi(argv[1]) << 30;
  const int threads = atoi(argv[2]), children = atoi(argv[3]);
  const int hang = strcmp(argv[4], "hang") == 0, unseen = strcmp(argv[4], "unseen") == 0;
  if (bytes > 0) {
    char* memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) return 1;
    for (size_t at = 0; at < bytes; at += 4096) memory[at] = 1;
  }
  pthread_attr_t small;
  pthread_attr_init(&small);
  pthread_attr_setstacksize(&small, 65536);
  pthread_barrier_init(&ready, NULL, 2);
  for (int i = 1; i < threads; ++i) {
    pthread_t thread;
    if (pthread_create(&thread, &small, i == 1 ? holder : idle, NULL) != 0) return 1;
    pthread_barrier_wait(&ready);
  }
  int pipes[2];
  if (pipe(pipes) != 0) return 1;
  if (argc == 6) usleep((useconds_t)atoi(argv[5]) * 1000);
  printf("%d", getpid());
  for (int i = 0; i < children; ++i) {
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(pipes[1]);
      char byte;
      if (hang) pthread_mutex_lock(&lock);
      if (unseen) wait_unseen();
      while (read(pipes[0], &byte, 1) > 0) {}
      _exit(0);
    }
    if (child < 0) return 1;
    printf(" %d", child);
  }
  printf("\n");
  fflush(stdout);
  pause();
  return 0;
}
