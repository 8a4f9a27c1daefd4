// Scenario loader-list: a child is forked while a thread walks the list of loaded objects.
//
// Cause: dl_iterate_phdr() holds dl_load_write_lock while it calls back, and fork() resets the
// loader's other locks but not that one. Unwinders, profilers and crash handlers call it; so did
// every C++ exception before glibc 2.35, which has _dl_find_object() for that: it takes no lock.
//
//   walk-0: dl_iterate_phdr > callback ......................... returns
//   main:                                fork
//   worker (a copy of main alone):       dl_iterate_phdr  for ever
#include <dlfcn.h>
#include <link.h>

#include <stdexcept>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "loader-list",
    .title = "fork while a thread is in dl_iterate_phdr, and call it in the child",
    .cause =
        "A thread of the parent walks the list of loaded objects at the fork, to unwind a stack "
        "or to take a profile. The lock of that list stays locked in the child, which hangs "
        "when it walks the list too: most unwinders do.",
    .mechanism = "The callback stops its thread until the worker has been started.",
    .cure =
        "Do not unwind, profile or load in the child before exec; fork before such threads are "
        "started, or use posix_spawn. An unwinder can use _dl_find_object() (glibc 2.35).",
    .source = "scenarios/loader_list.cpp",
    .methods = {
        hangs("fork", "libc-lock", "forked in the callback; the worker walks the list"),
        silent("fork-over", "the thread has walked the list before the fork, and lives on")
            .as_timing_of("fork"),
        silent("fork-find-object", "control: the same moment; the worker calls _dl_find_object"),
        silent("fork-throw", "control: the same moment; the worker throws an exception"),
        silent("spawn", "the same moment, but the worker is a fresh image"),
    }};

int count_objects(dl_phdr_info*, size_t, void* count) {
  ++*static_cast<int*>(count);
  return 0;
}

[[gnu::noinline]] int walk_objects() {
  int count = 0;
  dl_iterate_phdr(count_objects, &count);
  return count > 0 ? 0 : -1;
}

int stop_in_callback(dl_phdr_info*, size_t, void* pause) {
  static_cast<Pause*>(pause)->here();
  return 1;  // the first object will do
}

int find_object() {
  dl_find_object found;
  return _dl_find_object(reinterpret_cast<void*>(walk_objects), &found);
}

int throw_and_catch() {
  try {
    throw std::runtime_error("unwound without a lock");
  } catch (const std::exception&) {
    return 0;
  }
}

Worker start(const std::string& method) {
  Pause pause;
  const bool over = method == "fork-over";
  PausedThread walker("walk-0", pause, [&] {
    if (over) walk_objects();
    over ? pause.here() : void(dl_iterate_phdr(stop_in_callback, &pause));
  });
  walker.await();
  if (method == "spawn") return spawn_worker("walk");
  return fork_worker(method == "fork-find-object" ? find_object
                     : method == "fork-throw"     ? throw_and_catch
                                                  : walk_objects);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, walk_objects));
}
