// Scenario stdio-lock: a child is forked while a thread holds a FILE with flockfile.
//
// fork() is safe here: glibc takes its own list of FILEs before the copy and resets the lock of
// each in the child. _Fork() copies the process as it is, so the FILE stays locked for ever.
//
//   log-0: flockfile(journal) ............................ funlockfile
//   main:                       fork / _Fork
//   worker (a copy of main alone):            flockfile(journal) > fprintf
#include <stdio.h>
#include <unistd.h>

#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "stdio-lock",
    .title = "fork and _Fork while a thread holds a FILE with flockfile",
    .cause =
        "A thread of the parent has locked a FILE when the process is copied. fork() resets "
        "the lock in the child; _Fork() and a raw clone do not, and the child waits for ever "
        "at its next use of the FILE.",
    .mechanism = "The thread keeps the FILE locked until the worker has been started.",
    .cure =
        "Use fork() or posix_spawn(). After _Fork() call only async-signal-safe functions, "
        "such as write().",
    .source = "scenarios/stdio_lock.cpp",
    .methods = {
        silent("fork", "glibc resets the lock in the child, which writes to the FILE"),
        hangs("underscore-fork", "orphaned-lock", "the same with _Fork, which resets nothing")
            .seen_from_outside("deadlock", "libc-lock"),
    }};

FILE* journal = nullptr;

/// Several lines that must stay together.
[[gnu::noinline]] int write_entry() {
  flockfile(journal);
  fprintf(journal, "started\n");
  fprintf(journal, "done\n");
  funlockfile(journal);
  return fflush(journal);
}

Worker start(const std::string& method) {
  Holder logger(
      "log-0", [] { flockfile(journal); }, [] { funlockfile(journal); });
  return fork_worker(write_entry, method == "fork" ? fork : _Fork);
}

int main(int argc, char** argv) {
  journal = fopen("/dev/null", "we");
  return run_program(argc, argv, kDescription, one_by_one(start));
}
