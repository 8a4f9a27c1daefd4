// Scenario pipe-never-ends: a reader never sees the end of a pipe, as a process that has nothing to
// do with it has inherited the write end.
//
// Cause: read() returns 0 when every copy of the write end is closed. A child that is forked while
// the write end is open has a copy, whatever it was forked for, and O_CLOEXEC closes it only if the
// child executes a program.
//
//   main:    pipe > fork reader > fork bystander > write > close ..... waits for the reader
//   reader:                       read 6 bytes .................... read waits for ever
//   bystander:                              (has the write end)  works for hours
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>

#include "scenarios/support/program.hpp"
#include "scenarios/support/start.hpp"

using namespace forkscope::scenario;

const Description kDescription = {
    .name = "pipe-never-ends",
    .title = "wait for the end of a pipe whose write end another child has inherited",
    .cause =
        "The reader of a pipe sees its end when every copy of the write end is closed. A child "
        "that was forked meanwhile has a copy, whatever it is for, and does not know of it.",
    .mechanism =
        "The bystander is forked before the parent closes the write end, and lives until the "
        "reader "
        "has ended or was killed. No lock is involved: the finding is a shared-descriptor note, "
        "and "
        "needs `forkscope run --check=descriptors`.",
    .cure =
        "Close in each child the ends that are not its own, or start it with posix_spawn() and "
        "make "
        "pipes with O_CLOEXEC.",
    .source = "scenarios/pipe_never_ends.cpp",
    .methods = {
        waits("fork", {{"shared-descriptor", "note"}}, "the bystander keeps the write end")
            .with_run_option("--check=descriptors"),
        silent("fork-closed", "control: the bystander closes the write end"),
        silent("fork-exec", "control: the bystander executes a program, and O_CLOEXEC closes it"),
    }};

constexpr char kText[] = "orders";

/// Reads to the end; gives the number of bytes.
[[gnu::noinline]] std::int64_t read_all(int from) {
  std::int64_t total = 0;
  char bytes[64];
  for (;;) {
    const ssize_t got = read(from, bytes, sizeof bytes);
    if (got < 0) throw_errno("cannot read the pipe");
    if (got == 0) return total;
    total += got;
  }
}

/// A process that lives until its pipe is closed.
class Bystander {
 public:
  Bystander(const std::string& method, int write_end) {
    pid_ = fork();
    if (pid_ < 0) throw_errno("cannot fork");
    if (pid_ != 0) {
      stop_.read_end.close();
      return;
    }
    if (method == "fork-exec") {
      dup2(stop_.read_end.get(), STDIN_FILENO);
      execlp("cat", "cat", nullptr);
      _exit(127);
    }
    stop_.write_end.close();
    if (method == "fork-closed") close(write_end);
    char byte;
    _exit(read(stop_.read_end.get(), &byte, 1) == 0 ? 0 : 1);
  }
  Bystander(const Bystander&) = delete;
  Bystander& operator=(const Bystander&) = delete;
  ~Bystander() {
    stop_.write_end.close();
    waitpid(pid_, nullptr, 0);
  }

 private:
  NewsPipe stop_ = NewsPipe::open();
  pid_t pid_ = -1;
};

int parent(const Options& options) {
  for (int number = 1; number <= options.workers; ++number) {
    NewsPipe text = NewsPipe::open();
    Worker reader = fork_worker([&] {
      text.write_end.close();
      return read_all(text.read_end.get());
    });
    text.read_end.close();
    const Bystander bystander(options.method, text.write_end.get());
    if (write(text.write_end.get(), kText, std::strlen(kText)) < 0) throw_errno("cannot write");
    text.write_end.close();
    const int status = follow(std::move(reader), number, options.patience, std::strlen(kText));
    if (status != kAllDone) return status;
  }
  return kAllDone;
}

int main(int argc, char** argv) { return run_program(argc, argv, kDescription, {parent, {}}); }
