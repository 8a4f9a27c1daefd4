/* threads N: N threads alive at once, each of which has taken a lock; a fork among them; then N
   more, one after the other. */
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t g_all = PTHREAD_COND_INITIALIZER, g_go = PTHREAD_COND_INITIALIZER;
static int g_alive, g_released;

static void* stay(void* argument) {
  pthread_mutex_lock(&g_lock);
  ++g_alive;
  pthread_cond_signal(&g_all);
  while (!g_released) pthread_cond_wait(&g_go, &g_lock);
  pthread_mutex_unlock(&g_lock);
  return argument;
}

static void* pass(void* argument) {
  pthread_mutex_lock(&g_lock);
  ++g_alive;
  pthread_mutex_unlock(&g_lock);
  return argument;
}

int main(int argc, char** argv) {
  int count = argc > 1 ? atoi(argv[1]) : 100;
  pthread_t* threads = calloc((size_t)count, sizeof *threads);
  pthread_attr_t small;
  pthread_attr_init(&small);
  if (threads == NULL || pthread_attr_setstacksize(&small, 64 * 1024) != 0) return 90;
  for (int i = 0; i < count; ++i)
    if (pthread_create(&threads[i], &small, stay, NULL) != 0) {
      printf("thread %d cannot be started\n", i);
      return 77; /* a limit of the machine */
    }
  pthread_mutex_lock(&g_lock);
  while (g_alive < count) pthread_cond_wait(&g_all, &g_lock);
  pthread_mutex_unlock(&g_lock);
  pid_t child = fork();
  if (child == 0) {
    pthread_mutex_lock(&g_lock);
    pthread_mutex_unlock(&g_lock);
    _exit(g_alive == count ? 0 : 1);
  }
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) return 91;
  pthread_mutex_lock(&g_lock);
  g_released = 1;
  pthread_cond_broadcast(&g_go);
  pthread_mutex_unlock(&g_lock);
  for (int i = 0; i < count; ++i) pthread_join(threads[i], NULL);
  for (int i = 0; i < count; ++i) {
    if (pthread_create(&threads[i], &small, pass, NULL) != 0) return 92;
    pthread_join(threads[i], NULL);
  }
  printf("%d threads, child status %d\n", g_alive, status);
  free(threads);
  return 0;
}
