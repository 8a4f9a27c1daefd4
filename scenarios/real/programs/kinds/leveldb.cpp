// LevelDB, whose one thread writes tables: leveldb FOLDER both|free. What the child writes does not
// fit into memory, and the thread that would write it out is there in the parent only (both), or is
// started by the child (free).
#include <leveldb/db.h>

#include <string>

#include "kinds.h"

static leveldb::DB* table;
static std::string folder;

static void open_table() {
  leveldb::Options options;
  options.create_if_missing = true;
  options.write_buffer_size = 64 << 10;
  if (!leveldb::DB::Open(options, folder, &table).ok()) give_up("LevelDB does not open a table");
}

static void write_much() {
  const std::string row(1000, 'x');
  for (int i = 0; i < 1000; ++i) table->Put({}, std::to_string(i), row);
  table->CompactRange(nullptr, nullptr);
}

static void open_and_write() {
  open_table();
  write_much();
}

int main(int argc, char** argv) {
  if (argc < 3) return 2;
  folder = std::string(argv[1]) + "/table";
  prepare();
  if (!strcmp(argv[2], "both")) {
    open_and_write();
    return fork_and(write_much);
  }
  start("poller", poller, nullptr);
  await_inside();
  return fork_and(open_and_write);
}
