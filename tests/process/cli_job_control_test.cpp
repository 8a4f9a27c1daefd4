// On a terminal: Ctrl-C reaches the program once, Ctrl-Z stops program and command together.
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

[[noreturn]] void execute(const std::vector<std::string>& arguments) {
  std::vector<char*> argv;
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(98);
}

/// What an interactive shell does for one foreground job: a process group of its own, the terminal,
/// a wait that sees stops. Prints what it sees, and continues a job that stopped.
[[noreturn]] void be_a_shell(const std::vector<std::string>& job) {
  signal(SIGTTOU, SIG_IGN);
  // Ctrl-C and Ctrl-Z throw away output not yet read, unless told not to: ours may be in it.
  termios mode{};
  tcgetattr(0, &mode);
  mode.c_lflag |= NOFLSH;
  tcsetattr(0, TCSANOW, &mode);
  pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    tcsetpgrp(0, getpid());
    signal(SIGTTOU, SIG_DFL);
    execute(job);
  }
  setpgid(child, child);
  int status = 0;
  while (waitpid(child, &status, WUNTRACED) == child && WIFSTOPPED(status)) {
    dprintf(1, "stopped by %d\n", WSTOPSIG(status));
    kill(-child, SIGCONT);
    dprintf(1, "continued\n");
  }
  dprintf(1, "ended with %d\n", WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
  _exit(0);
}

/// A terminal with a shell on it that runs one job.
class Terminal {
 public:
  explicit Terminal(const std::vector<std::string>& job) {
    shell_ = forkpty(&fd_, nullptr, nullptr, nullptr);
    if (shell_ < 0) throw std::runtime_error("forkpty failed");
    if (shell_ == 0) be_a_shell(job);
  }
  ~Terminal() {
    close(fd_);
    kill(shell_, SIGKILL);
    waitpid(shell_, nullptr, 0);
  }

  void type(char key) { REQUIRE(write(fd_, &key, 1) == 1); }

  /// Reads on until `text` has come. False when it does not.
  bool shows(const std::string& text) {
    while (true) {
      std::size_t at = shown_.find(text);
      if (at != std::string::npos) {
        shown_.erase(0, at + text.size());
        return true;
      }
      pollfd ready{fd_, POLLIN, 0};
      if (poll(&ready, 1, 30'000) <= 0) return false;
      char buffer[1024];
      ssize_t size = read(fd_, buffer, sizeof buffer);
      if (size <= 0) return false;
      shown_.append(buffer, static_cast<std::size_t>(size));
    }
  }

 private:
  int fd_ = -1;
  pid_t shell_ = -1;
  std::string shown_;
};

}  // namespace

TEST_CASE("Ctrl-C reaches the program once and leaves the command waiting for it") {
  Terminal terminal(forkscope_run({"--quiet"}, probe({"count-interrupts"})));
  REQUIRE(terminal.shows("ready"));
  terminal.type('\x03');
  REQUIRE(terminal.shows("interrupted"));
  terminal.type('\x03');
  REQUIRE(terminal.shows("interrupted"));
  terminal.type('\n');
  CHECK(terminal.shows("ended with 2"));
}

TEST_CASE("Ctrl-C that ends the program ends the command by SIGINT") {
  Terminal terminal(forkscope_run({"--quiet"}, {"sh", "-c", "echo ready; exec sleep 1000"}));
  REQUIRE(terminal.shows("ready"));
  terminal.type('\x03');
  CHECK(terminal.shows("ended with -2"));
}

TEST_CASE("Ctrl-Z stops the command with the program, and fg continues both") {
  Terminal terminal(forkscope_run({"--quiet"}, probe({"count-interrupts"})));
  REQUIRE(terminal.shows("ready"));
  for (int i = 0; i < 3; ++i) {
    terminal.type('\x1a');
    REQUIRE(terminal.shows("stopped by " + std::to_string(SIGTSTP)));
    REQUIRE(terminal.shows("continued"));
  }
  terminal.type('\n');
  CHECK(terminal.shows("ended with 0"));
}

TEST_CASE("a program that stops itself gives the terminal back to the shell") {
  Terminal terminal(forkscope_run({"--quiet"}, {"sh", "-c", "kill -STOP $$; exit 12"}));
  REQUIRE(terminal.shows("stopped by " + std::to_string(SIGSTOP)));
  CHECK(terminal.shows("ended with 12"));
}
