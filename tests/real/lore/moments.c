/* Locks at every moment a program can take one: in a constructor before main, in atexit handlers,
   in a destructor, and in a signal handler that interrupts the lock functions themselves; and fork
   in such a handler. Nothing here waits for anybody, so it must end, and count the same each time.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

enum { kSignals = 300, kForks = 30 };

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;     /* outside handlers */
static pthread_mutex_t g_handlers = PTHREAD_MUTEX_INITIALIZER; /* only in the handler */
static volatile sig_atomic_t g_signals, g_well;

static void use(const char* when) {
  pthread_mutex_lock(&g_lock);
  printf("lock %s\n", when);
  fflush(stdout);
  pthread_mutex_unlock(&g_lock);
}

__attribute__((constructor(101))) static void constructor(void) { use("in a constructor"); }

__attribute__((destructor(101))) static void destructor(void) { use("in a destructor"); }

static void at_exit(void) { use("in an atexit handler"); }

/* The program has one thread here, and the interrupted code is never inside libc's own locks. */
static void on_signal(int number) {
  (void)number;
  if (g_signals >= kSignals) return;
  pthread_mutex_lock(&g_handlers);
  if (g_signals % (kSignals / kForks) == 0) {
    pid_t child = fork();
    if (child == 0) {
      pthread_mutex_unlock(&g_handlers);
      pthread_mutex_lock(&g_handlers);
      _exit(0);
    }
    int status = -1;
    if (child > 0 && waitpid(child, &status, 0) == child && status == 0) ++g_well;
  }
  pthread_mutex_unlock(&g_handlers);
  ++g_signals;
}

int main(void) {
  atexit(at_exit);
  use("in main");
  struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
  if (sigaction(SIGALRM, &action, NULL) != 0) return 90;
  struct itimerval often = {{0, 300}, {0, 300}}, never = {{0, 0}, {0, 0}};
  setitimer(ITIMER_REAL, &often, NULL);
  while (g_signals < kSignals) {
    pthread_mutex_lock(&g_lock);
    pthread_mutex_unlock(&g_lock);
    if (pthread_mutex_trylock(&g_lock) == 0) pthread_mutex_unlock(&g_lock);
  }
  setitimer(ITIMER_REAL, &never, NULL);
  printf("%d signals, %d children ended well\n", (int)g_signals, (int)g_well);
  return 0;
}
