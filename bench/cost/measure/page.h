/* The page that a measured child shares with its parent: what time it was where. Of C, because the
 * program that is executed (child.c) is in C. Each field has one writer at a time; the parent reads
 * them after it has waited for the child. CLOCK_MONOTONIC is the same in all processes. */
#pragma once

#include <stdint.h>
#include <time.h>

struct child_page {
  int64_t first;        /* the child's first instruction of ours, ns */
  int64_t in_main;      /* main() of the program that was executed, ns */
  int64_t ready;        /* it has read its first task, ns */
  int64_t write_ns;     /* how long writing its share of the pages took */
  int64_t write_faults; /* and how many minor page faults that were */
  int64_t task_ns;      /* from the parent: processor time of a task */
};

static inline int64_t clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static inline int64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* Works for `ns` of processor time. */
static inline void burn(int64_t ns) {
  if (ns <= 0) return;
  const int64_t end = clock_ns(CLOCK_THREAD_CPUTIME_ID) + ns;
  while (clock_ns(CLOCK_THREAD_CPUTIME_ID) < end) continue;
}
