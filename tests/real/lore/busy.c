/* Three threads allocate and take locks while the main thread forks; the children do the same.
   Every lock is taken by at-fork handlers, as POSIX wants it, so every child must end well,
   whichever libraries are preloaded. With -DNO_HEAP nothing is allocated: AddressSanitizer's
   allocator of GCC 12 takes no care of fork, so the children would wait for its locks, preloaded or
   not. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { kThreads = 3, kForks = 40 };

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_changed = PTHREAD_COND_INITIALIZER;
static unsigned long g_turns;
static int g_stop;

static void prepare(void) { pthread_mutex_lock(&g_lock); }

static void release(void) { pthread_mutex_unlock(&g_lock); }

static void use_memory(unsigned seed) {
#ifdef NO_HEAP
  (void)seed;
#else
  for (unsigned i = 1; i < 20; ++i) {
    size_t size = (seed * 7919 + i * 104729) % 9000 + 1;
    char* memory = malloc(size);
    if (memory == NULL) _exit(90);
    memset(memory, 1, size);
    free(memory);
  }
#endif
}

static void* work(void* argument) {
  for (unsigned seed = *(unsigned*)argument;; seed += kThreads) {
    use_memory(seed);
    pthread_mutex_lock(&g_lock);
    int stop = g_stop;
    ++g_turns;
    pthread_cond_signal(&g_changed);
    pthread_mutex_unlock(&g_lock);
    if (stop) return NULL;
  }
}

int main(void) {
  if (pthread_atfork(prepare, release, release) != 0) return 91;
  pthread_t threads[kThreads];
  unsigned seeds[kThreads];
  for (unsigned i = 0; i < kThreads; ++i) {
    seeds[i] = i;
    if (pthread_create(&threads[i], NULL, work, &seeds[i]) != 0) return 92;
  }
  int well = 0;
  for (int i = 0; i < kForks; ++i) {
    pthread_mutex_lock(&g_lock);
    for (unsigned long before = g_turns; g_turns == before;) pthread_cond_wait(&g_changed, &g_lock);
    pthread_mutex_unlock(&g_lock);
    pid_t child = fork();
    if (child == 0) {
      use_memory((unsigned)i);
      pthread_mutex_lock(&g_lock);
      pthread_mutex_unlock(&g_lock);
      _exit(time(NULL) > 0 ? 0 : 1);
    }
    int status;
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0) ++well;
  }
  pthread_mutex_lock(&g_lock);
  g_stop = 1;
  pthread_mutex_unlock(&g_lock);
  for (int i = 0; i < kThreads; ++i) pthread_join(threads[i], NULL);
  printf("%d of %d children ended well\n", well, kForks);
  return 0;
}
