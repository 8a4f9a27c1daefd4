// Scenario fork-bypass: a threaded process is copied around fork().
//
// Cause: fork() runs the at-fork handlers and repairs malloc, stdio and the loader in the child.
// _Fork() and a raw clone(2) do neither: what the child inherits is whatever the other threads
// happened to be doing. It may work a thousand times. This child is lucky.
//
//   idle-0: alive
//   main:   _Fork / syscall(SYS_clone)      no handler runs
//   worker:                                 adds up > _exit
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

#include "scenarios/support/blocked.hpp"
#include "scenarios/support/holder.hpp"
#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const ExpectedFinding kBypass = {"fork-bypass", "note"};

const Description kDescription = {
    .name = "fork-bypass",
    .title = "copy a process that has threads with _Fork or clone, around the at-fork handlers",
    .cause =
        "A process with threads is copied by _Fork() or a raw clone() and goes on without "
        "exec. No at-fork handler runs, and glibc repairs nothing: malloc, stdio and the "
        "loader are as the other threads left them.",
    .mechanism =
        "A second thread is alive, and idle. The worker calls only what is "
        "async-signal-safe, so it ends well.",
    .cure = "Use fork(), or posix_spawn(). After _Fork() or clone() exec at once.",
    .source = "scenarios/fork_bypass.cpp",
    .methods = {
        completes("underscore-fork", {kBypass}, "_Fork beside a thread, and no exec"),
        completes("raw-clone", {kBypass}, "syscall(SYS_clone) beside a thread, and no exec"),
        hangs("handlers-skipped", "orphaned-lock",
              "_Fork beside a thread with a lock that at-fork handlers protect; the worker locks")
            .and_finds("fork-bypass", "note"),
        silent("handlers-run", "control: the same with fork, which waits for the thread"),
        silent("fork", "control: fork, with handlers and repairs"),
        silent("underscore-fork-exec", "control: _Fork, and exec at once"),
        silent("single-threaded", "control: _Fork in a process without threads"),
    }};

pid_t raw_clone() {
  return static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
}

int add_up() {
  int sum = 0;
  for (int number = -100; number <= 100; ++number) sum += number;
  return sum;
}

Worker copy_and_exec() {
  FreshImage image("numbers");
  const pid_t pid = _Fork();
  if (pid == 0) image.exec();
  return image.worker(pid);
}

// ---- a lock that is protected well, but only in fork() ------------------------------------------

pthread_mutex_t table_lock = PTHREAD_MUTEX_INITIALIZER;

void lock_table() { pthread_mutex_lock(&table_lock); }
void unlock_table() { pthread_mutex_unlock(&table_lock); }

[[gnu::noinline]] int use_table() {
  lock_table();
  unlock_table();
  return 0;
}

Worker copy_with_handlers(bool skipped) {
  static const int registered = pthread_atfork(lock_table, unlock_table, unlock_table);
  if (registered != 0) throw_errno("cannot register at-fork handlers", registered);
  Holder holder("table-0", lock_table, [skipped, main = gettid()] {
    if (!skipped) wait_until_blocked_on(main, table_lock);
    unlock_table();
  });
  if (!skipped) holder.let_go();
  return fork_worker(use_table, skipped ? _Fork : fork);
}

Worker start(const std::string& method) {
  if (method.starts_with("handlers")) return copy_with_handlers(method == "handlers-skipped");
  std::optional<Holder> idle;
  if (method != "single-threaded") idle.emplace("idle-0");
  if (method == "underscore-fork-exec") return copy_and_exec();
  return fork_worker(add_up, method == "fork" ? fork : method == "raw-clone" ? raw_clone : _Fork);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, add_up));
}
