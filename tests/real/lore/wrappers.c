/* Wrappers of a kind that other preloaded libraries have, and programs for themselves: without
   symbol versions, resolved by dlsym(RTLD_NEXT). Each counts what passes through it, and what was
   missed is printed at the end: a library that goes past the next one in the list is found out. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define WRAPPER(type, name, parameters, arguments)                        \
  static atomic_int count_##name;                                         \
  type name parameters {                                                  \
    static type(*_Atomic next) parameters;                                \
    if (next == NULL) next = (type(*) parameters)dlsym(RTLD_NEXT, #name); \
    ++count_##name;                                                       \
    return next arguments;                                                \
  }

WRAPPER(int, pthread_mutex_lock, (pthread_mutex_t * lock), (lock))
WRAPPER(int, pthread_mutex_unlock, (pthread_mutex_t * lock), (lock))
WRAPPER(int, pthread_cond_wait, (pthread_cond_t * cond, pthread_mutex_t* lock), (cond, lock))
WRAPPER(int, pthread_cond_signal, (pthread_cond_t * cond), (cond))
WRAPPER(int, pthread_create,
        (pthread_t * thread, const pthread_attr_t* how, void* (*work)(void*), void* argument),
        (thread, how, work, argument))
WRAPPER(pid_t, fork, (void), ())
WRAPPER(pid_t, waitpid, (pid_t child, int* status, int options), (child, status, options))

static void* take(void* argument) {
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  static pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
  static int taken; /* the first to come waits for the second */
  pthread_mutex_lock(&lock);
  if (taken++ == 0)
    while (taken < 2) pthread_cond_wait(&cond, &lock);
  pthread_cond_signal(&cond);
  pthread_mutex_unlock(&lock);
  return argument;
}

/* A tool of the process may lock for itself, so more than that is right too. */
#define PRINT(name, least) printf(" " #name " %s", count_##name < (least) ? "MISSED" : "seen")

/* What the program does is fixed but for who comes first. */
int wrapped_work(void) {
  pthread_t threads[2];
  for (int i = 0; i < 2; ++i)
    if (pthread_create(&threads[i], NULL, take, NULL) != 0) return 1;
  for (int i = 0; i < 2; ++i) pthread_join(threads[i], NULL);
  pid_t child = fork();
  if (child == 0) _exit(0);
  int status = -1;
  if (child < 0 || waitpid(child, &status, 0) != child) return 2;
  printf("counted:");
  PRINT(pthread_mutex_lock, 2);
  PRINT(pthread_mutex_unlock, 2);
  PRINT(pthread_cond_signal, 2);
  PRINT(pthread_create, 2);
  PRINT(fork, 1);
  PRINT(waitpid, 1);
  PRINT(pthread_cond_wait, 1);
  printf("\n");
  return status;
}
