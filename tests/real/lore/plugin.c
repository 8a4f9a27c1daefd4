/* A shared object with locks, at-fork handlers, a constructor and a destructor; host.c loads it. */
#include <pthread.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

static pthread_mutex_t g_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t g_never_released = PTHREAD_MUTEX_INITIALIZER;
static int g_prepared, g_in_parent;

static void prepare(void) {
  pthread_mutex_lock(&g_lock);
  ++g_prepared;
}

static void in_parent(void) {
  ++g_in_parent;
  pthread_mutex_unlock(&g_lock);
}

static void in_child(void) { pthread_mutex_unlock(&g_lock); }

__attribute__((constructor)) static void begin(void) {
  pthread_mutex_lock(&g_lock);
  pthread_atfork(prepare, in_parent, in_child);
  pthread_mutex_unlock(&g_lock);
}

__attribute__((destructor)) static void end(void) {
  pthread_mutex_lock(&g_lock);
  printf("plugin: unloaded after %d prepare and %d parent handlers\n", g_prepared, g_in_parent);
  fflush(stdout);
  pthread_mutex_unlock(&g_lock);
}

static void* nothing(void* argument) {
  pthread_mutex_lock(&g_lock);
  pthread_mutex_unlock(&g_lock);
  return argument;
}

/* Locks, starts a thread, forks: 0 when all of it went well. */
int plugin_work(void) {
  pthread_mutex_lock(&g_lock);
  pthread_mutex_unlock(&g_lock);
  pthread_t thread;
  if (pthread_create(&thread, NULL, nothing, NULL) != 0) return 1;
  pid_t child = fork();
  if (child == 0) {
    nothing(NULL);
    _exit(0);
  }
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child || status != 0) return 2;
  return pthread_join(thread, NULL);
}

/* The lock's memory is unmapped while it is held: legal for who never uses it again. */
void plugin_hold(void) { pthread_mutex_lock(&g_never_released); }
