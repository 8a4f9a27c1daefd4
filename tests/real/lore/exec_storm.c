/* exec_storm N: replaces itself N times while other threads take locks, then starts N more programs
   by fork and exec. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t g_running;

static void* lock_forever(void* argument) {
  pthread_barrier_wait(&g_running);
  for (;;) {
    pthread_mutex_lock(&g_lock);
    pthread_mutex_unlock(&g_lock);
  }
  return argument;
}

int main(int argc, char** argv) {
  if (argc < 2) return 90;
  int left = atoi(argv[1]), all = argc > 2 ? atoi(argv[2]) : left;
  if (left > 0) {
    pthread_t thread;
    pthread_barrier_init(&g_running, NULL, 2);
    if (pthread_create(&thread, NULL, lock_forever, NULL) != 0) return 91;
    pthread_barrier_wait(&g_running);
    char less[16], of[16];
    snprintf(less, sizeof less, "%d", left - 1);
    snprintf(of, sizeof of, "%d", all);
    execl("/proc/self/exe", argv[0], less, of, (char*)NULL);
    return 92;
  }
  int well = 0;
  for (int i = 0; i < all; ++i) {
    pid_t child = fork();
    if (child == 0) {
      execlp("true", "true", (char*)NULL);
      _exit(93);
    }
    int status = -1;
    well += child > 0 && waitpid(child, &status, 0) == child && status == 0;
  }
  printf("process replaced itself %d times; %d of %d programs ended well\n", all, well, all);
  return 0;
}
