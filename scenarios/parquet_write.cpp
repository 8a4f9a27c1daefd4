// Scenario parquet-write: a forked worker writes a table while a thread of the parent reads one.
//
// The write variant of parquet-lock, after a report that write_parquet hangs in a forked worker
// although the worker reads nothing: reading and writing share the cache of schemas, and its lock.
// Who looks only at what the worker calls, and not at what the parent's threads were doing, does
// not find it.
//
//   reader-0: read_parquet > lookup_schema > lock(schema_lock) ........... unlock
//   main:                                                  fork
//   worker (a copy of main alone):     write_parquet > lookup_schema > lock(schema_lock)  for ever
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "parquet-write",
    .title = "fork while a thread reads a table, and write one in the child",
    .cause =
        "Readers and writers of tables share a cache of schemas. A thread of the parent was in "
        "it at the fork, reading; the child only writes, needs the schema too, and waits for "
        "ever for the lock of a thread that it does not have.",
    .mechanism =
        "The thread stops inside the cache, with schemas.lock, until the worker has been "
        "started. Models what users report of write_parquet in a forked worker.",
    .cure =
        "Start workers with posix_spawn of a fresh image or through a fork server started before "
        "the first thread (Python: multiprocessing.get_context(\"spawn\") or \"forkserver\").",
    .source = "scenarios/parquet_write.cpp",
    .methods = {
        hangs("fork", "orphaned-lock", "forked while a thread reads; the worker writes"),
        lucky("fork-lucky", "the thread has read before the fork, and lives on")
            .as_timing_of("fork"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
        silent("forkserver", "the same moment, but forked by a server without threads"),
    }};

struct SchemaCache {
  std::mutex lock;
  std::map<std::string, int> columns;  ///< guarded by it
};

SchemaCache schemas;

/// The number of columns of a table; `inside` is called with the lock.
[[gnu::noinline]] int lookup_schema(const std::string& table, const std::function<void()>& inside) {
  const std::lock_guard guard(schemas.lock);
  if (inside) inside();
  return schemas.columns.try_emplace(table, 3).first->second;
}

[[gnu::noinline]] std::int64_t read_parquet(const std::function<void()>& inside) {
  return lookup_schema("orders", inside);
}

[[gnu::noinline]] std::int64_t write_parquet() { return lookup_schema("results", {}) - 3; }

std::int64_t fresh(const std::string&) { return write_parquet(); }

int parent(const Options& options) {
  const bool lucky = options.method == "fork-lucky";
  std::optional<ForkServer> server;
  if (options.method == "forkserver") server.emplace(fresh);  // before the first thread
  for (int number = 1; number <= options.workers; ++number) {
    Pause pause;
    PausedThread reader("reader-0", pause, [&] {
      if (lucky) read_parquet({});
      lucky ? pause.here() : void(read_parquet([&] { pause.here(); }));
    });
    reader.await();
    Worker worker = options.method == "spawn" ? spawn_worker("results")
                    : server                  ? server->start("results")
                                              : fork_worker(write_parquet);
    reader.finish();
    const int status = follow(std::move(worker), number, options.patience, 0);
    if (status != kAllDone) return status;
  }
  return kAllDone;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, {parent, fresh}); }
