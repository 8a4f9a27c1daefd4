// Scenario fork-bypass: a threaded process is copied around fork().
//
// Cause: fork() runs the at-fork handlers and repairs malloc, stdio and the loader in the child.
// _Fork() and a raw clone(2) do neither: what the child inherits is whatever the other threads
// happened to be doing. It may work a thousand times. This child is lucky.
//
//   idle-0: alive
//   main:   _Fork / syscall(SYS_clone)      no handler runs
//   worker:                                 adds up > _exit
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <optional>

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

Worker start(const std::string& method) {
  std::optional<Holder> idle;
  if (method != "single-threaded") idle.emplace("idle-0");
  if (method == "underscore-fork-exec") return copy_and_exec();
  return fork_worker(add_up, method == "fork" ? fork : method == "raw-clone" ? raw_clone : _Fork);
}

int main(int argc, char** argv) {
  return run_program(argc, argv, kDescription, one_by_one(start, add_up));
}
