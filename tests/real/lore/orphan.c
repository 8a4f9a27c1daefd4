/* The child of a fork takes a lock that another thread held, and never ends. */
#include <pthread.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t g_resource = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t g_held;

static void* hold_the_resource(void* unused) {
  pthread_mutex_lock(&g_resource);
  pthread_barrier_wait(&g_held);
  for (;;) pause();
  return unused;
}

static void use_the_resource(void) {
  pthread_mutex_lock(&g_resource);
  pthread_mutex_unlock(&g_resource);
}

int main(void) {
  pthread_t holder;
  int status;
  pthread_barrier_init(&g_held, NULL, 2);
  if (pthread_create(&holder, NULL, hold_the_resource, NULL) != 0) return 90;
  pthread_barrier_wait(&g_held);
  pid_t child = fork();
  if (child == 0) {
    use_the_resource();
    _exit(0);
  }
  if (child < 0 || waitpid(child, &status, 0) != child) return 91;
  return WIFEXITED(status) ? WEXITSTATUS(status) : 92;
}
