/* Locks of one's own that nap, or wait with a limit, and try again: nap_lock HOW WHERE. */
#include <linux/futex.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <time.h>

#include "kinds.h"

static atomic_int table_lock_word;
static const char* how;

__attribute__((noinline)) static void table_lock_delay(int round) {
  struct timespec nap = {0, 2000001 + 1000 * (round % 8)};
  if (!strcmp(how, "nap")) {
    nanosleep(&nap, NULL);
  } else if (!strcmp(how, "futex")) {
    atomic_store(&table_lock_word, 2);
    syscall(SYS_futex, &table_lock_word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 2, &nap, NULL, 0);
  } else {
    sched_yield();
  }
}

static void table_lock(void) {
  for (int round = 0;; ++round) {
    int free = 0;
    if (atomic_compare_exchange_strong(&table_lock_word, &free, 1)) return;
    table_lock_delay(round);
  }
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  how = argv[1];
  return run_lock(argv[2], table_lock, table_lock);
}
