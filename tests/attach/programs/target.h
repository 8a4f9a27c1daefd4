// What the programs of the corpus share. Each is started with the name of a mode, gets into the
// state that the mode is named after, and stays there until it is killed. Threads of a program must
// not end: what is shown is a process that waits.
#pragma once

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

struct Mode {
  const char* name;
  void (*run)(void);
};

/// Says which process is to be looked at: the calling one, which then goes to wait. Its threads
/// were started before.
static inline void this_is_the_target(void) { dprintf(1, "target %d\n", (int)getpid()); }

static inline void check(int holds, const char* what) {
  if (holds) return;
  dprintf(2, "%s: %s\n", what, strerror(errno));
  _exit(1);
}

/// A thread of that name; 64 KiB of stack are enough for all, also for a thousand.
static inline pthread_t start_thread(const char* name, void* (*body)(void*), void* argument) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, 1 << 16);
  pthread_t thread;
  check(pthread_create(&thread, &attributes, body, argument) == 0, "pthread_create");
  pthread_setname_np(thread, name);
  return thread;
}

/// A read that never ends: the write end stays open here.
static inline void read_for_ever(void) {
  int ends[2];
  check(pipe(ends) == 0, "pipe");
  char byte;
  check(read(ends[0], &byte, 1) == 1, "read");
}

static inline void* reader_thread(void* unused) {
  (void)unused;
  read_for_ever();
  return NULL;
}

static inline int run_mode(int argc, char** argv, const struct Mode* modes, int count) {
  for (int i = 0; argc == 2 && i < count; ++i)
    if (strcmp(modes[i].name, argv[1]) == 0) {
      modes[i].run();
      dprintf(2, "%s came back\n", argv[1]);
      return 1;
    }
  dprintf(2, "usage: %s MODE, one of:\n", argv[0]);
  for (int i = 0; i < count; ++i) dprintf(2, "  %s\n", modes[i].name);
  return 2;
}

#define RUN_MODE(argc, argv, modes) \
  run_mode(argc, argv, modes, (int)(sizeof(modes) / sizeof(modes)[0]))
