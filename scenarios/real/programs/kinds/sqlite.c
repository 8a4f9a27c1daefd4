/* SQLite's lock of a connection, while another thread runs a statement: sqlite connection WHERE. */
#include <sqlite3.h>

#include "kinds.h"

static sqlite3* connection;

static int stay(void* unused, int count, char** values, char** names) {
  (void)unused, (void)count, (void)values, (void)names;
  inside();
  wait_for_events();
  return 0;
}

static void query(void) {
  sqlite3_exec(connection, "SELECT 1", NULL, NULL, NULL);
}

static void query_and_stay(void) {
  sqlite3_exec(connection, "SELECT 1", stay, NULL, NULL);
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  if (sqlite3_open_v2(":memory:", &connection,
                      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, NULL))
    give_up("SQLite cannot open a database");
  query();
  return run_lock(argv[2], query_and_stay, query);
}
