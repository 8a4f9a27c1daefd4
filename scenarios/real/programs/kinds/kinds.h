/* What the programs of kinds.py share: threads that are where they must be when fork() happens, by
 * pipes and never by luck, and a child that says who it is before it waits. C11 and C++17, with _GNU_SOURCE.
 *
 * `program KIND WHERE` (see run_lock):
 *   held    a thread of the parent has the lock; the child's only thread takes it: hangs
 *   beside  the same, and the child has a thread of its own that waits for events
 *   second  the same, and the thread that takes it is not the child's first
 *   forker  the thread that forks has it, and takes it again in the child
 *   own     healthy: a thread of the child itself has it, and waits for events
 *   first   the same, that thread is the child's first, another one waits, and a thread that was not
 *           copied was about to take it
 *   free    healthy: nobody has it
 */
#ifndef KINDS_H
#define KINDS_H

#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int inside_pipe[2];

static void say(const char* word, int number) {
  char text[64];
  int size = snprintf(text, sizeof text, number ? "%s %d\n" : "%s\n", word, number);
  if (write(1, text, (size_t)size) != size) abort();
}

static int give_up(const char* why) {
  fprintf(stderr, "skipped: %s\n", why);
  exit(77);
}

/* Waits until a signal ends the process, as an event loop does. */
static void wait_for_events(void) {
  int ends[2];
  if (pipe(ends) != 0) abort();
  struct pollfd events = {ends[0], POLLIN, 0};
  for (;;) poll(&events, 1, -1);
}

/* Called by a thread where it must be when the parent forks. */
static void inside(void) {
  if (write(inside_pipe[1], "i", 1) != 1) abort();
}

static void await_inside(void) {
  char byte;
  if (read(inside_pipe[0], &byte, 1) != 1) abort();
}

static void start(const char* name, void* (*routine)(void*), void* argument) {
  pthread_t thread;
  if (pthread_create(&thread, NULL, routine, argument) != 0) abort();
  pthread_setname_np(thread, name);
}

static inline void* poller(void* unused) {
  (void)unused;
  inside();
  wait_for_events();
  return NULL;
}

typedef void (*Step)(void);
typedef union {
  Step step;
  void* pointer;
} StepWord;

static void* hold(void* word) {
  StepWord take;
  take.pointer = word;
  take.step();
  inside();
  wait_for_events();
  return NULL;
}

static void* hold_later(void* word) {
  StepWord take;
  take.pointer = word;
  inside();
  wait_for_events();
  take.step();
  return NULL;
}

static void* take_and_finish(void* word) {
  StepWord take;
  take.pointer = word;
  take.step();
  say("done", 0);
  _exit(0);
}

static void start_holder(Step take) {
  StepWord word;
  word.step = take;
  start("holder", hold, word.pointer);
  await_inside();
}

static int gone_pipe[2] = {-1, -1};

/* With KINDS_GONE in the environment the one that forks ends when it has: what goes on is a process
 * whose parent is gone. */
static inline void prepare(void) {
  if (getenv("KINDS_GONE")) {
    if (fork() != 0) {
      for (;;) pause();
    }
    if (pipe(gone_pipe) != 0) abort();
  }
  if (pipe(inside_pipe) != 0) abort();
}

static inline void await_the_parents_end(void) {
  char byte;
  close(gone_pipe[1]);
  if (gone_pipe[0] >= 0 && read(gone_pipe[0], &byte, 1) != 0) abort();
}

/* Forks; the child says who it is, does `child` and says that it is done. */
static int fork_and(Step child) {
  pid_t pid = fork();
  if (pid == 0) {
    await_the_parents_end();
    say("target", (int)getpid());
    child();
    say("done", 0);
    _exit(0);
  }
  if (gone_pipe[0] >= 0) _exit(0);
  int status = 0;
  waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static Step lock_of_child, lock_of_holder;

static void in_child(void) {
  lock_of_child();
}

static void in_second(void) {
  StepWord word;
  word.step = lock_of_child;
  start("second", take_and_finish, word.pointer);
  wait_for_events();
}

static void beside_poller(void) {
  start("poller", poller, NULL);
  await_inside();
  lock_of_child();
}

static void own_holder(void) {
  start_holder(lock_of_holder);
  lock_of_child();
}

static void first_holds(void) {
  lock_of_holder();
  in_second();
}

/* A thread of the parent does `hold_it`, the child `take`. */
static inline int run_lock(const char* where, Step hold_it, Step take) {
  prepare();
  lock_of_child = take;
  lock_of_holder = hold_it;
  if (!strcmp(where, "own") || !strcmp(where, "free")) {
    start("poller", poller, NULL);
    await_inside();
    return fork_and(!strcmp(where, "own") ? own_holder : in_child);
  }
  if (!strcmp(where, "first")) {
    StepWord word;
    word.step = hold_it;
    start("holder", hold_later, word.pointer);
    await_inside();
    return fork_and(first_holds);
  }
  if (!strcmp(where, "forker")) {
    start("poller", poller, NULL);
    await_inside();
    hold_it();
    return fork_and(in_child);
  }
  start_holder(hold_it);
  return fork_and(!strcmp(where, "beside")   ? beside_poller
                  : !strcmp(where, "second") ? in_second
                                             : in_child);
}

#endif
