/* LMDB's writer lock, which lies in a file that processes share: lmdb FOLDER process|thread. Who has it
 * goes on in either case, and can end the child's wait. */
#include <lmdb.h>

#include "kinds.h"

static MDB_env* environment;

static void begin(void) {
  MDB_txn* transaction;
  if (mdb_txn_begin(environment, NULL, 0, &transaction) != 0) abort();
}

static const char* folder;

static void open_and_begin(void) {
  mdb_env_create(&environment);
  if (mdb_env_open(environment, folder, 0, 0600) != 0) abort();
  begin();
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  folder = argv[1];
  prepare();
  if (!strcmp(argv[2], "process")) {
    if (fork() == 0) {
      open_and_begin();
      inside();
      wait_for_events();
    }
    await_inside();
    start("poller", poller, NULL);
    await_inside();
  } else {
    start_holder(open_and_begin);
  }
  return fork_and(open_and_begin);
}
