// Signals sent to the command reach the program, and --timeout ends the whole tree.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

TEST_CASE("SIGTERM to the command ends the program, and by it the command") {
  Started started(forkscope_run({"--quiet"}, {"sh", "-c", "echo ready; exec sleep 1000"}));
  CHECK(started.line() == "ready");
  kill(started.pid(), SIGTERM);
  CHECK(started.end().signal() == SIGTERM);
}

TEST_CASE("a handled SIGTERM lets the program choose its end") {
  Started started(forkscope_run({"--quiet"}, probe({"wait-for-signal"})));
  CHECK(started.line() == "ready");
  kill(started.pid(), SIGTERM);
  CHECK(started.line() == "got " + std::to_string(SIGTERM) + " value 0 usr1 0");
  CHECK(started.end().exit() == 0);
}

TEST_CASE("a real-time signal arrives with its value") {
  Started started(forkscope_run({"--quiet"}, probe({"wait-for-signal"})));
  CHECK(started.line() == "ready");
  sigval value{};
  value.sival_int = 4711;
  sigqueue(started.pid(), SIGRTMIN + 3, value);
  CHECK(started.line() == "got " + std::to_string(SIGRTMIN + 3) + " value 4711 usr1 0");
  CHECK(started.end().exit() == 0);
}

TEST_CASE("a signal from the program itself does not come back to it") {
  Started started(forkscope_run({"--quiet"}, probe({"signal-parent"})));
  CHECK(started.line() == "ready");
  kill(started.pid(), SIGUSR2);  // of higher number, so taken after the program's SIGUSR1
  CHECK(started.line() == "got " + std::to_string(SIGUSR2) + " value 0 usr1 0");
  CHECK(started.end().exit() == 0);
}

TEST_CASE("a SIGUSR1 from elsewhere does come") {
  Started started(forkscope_run({"--quiet"}, probe({"wait-for-signal"})));
  CHECK(started.line() == "ready");
  kill(started.pid(), SIGUSR1);
  kill(started.pid(), SIGUSR2);
  CHECK(started.line() == "got " + std::to_string(SIGUSR2) + " value 0 usr1 1");
  CHECK(started.end().exit() == 0);
}

TEST_CASE("an ignored SIGCHLD does not lose the program's status") {
  CHECK(run(forkscope_run({"--quiet"}, probe({"exit", "9"})), "", [] {
          signal(SIGCHLD, SIG_IGN);
        }).exit() == 9);
}

TEST_CASE("option --timeout ends the whole tree, and still reports") {
  TemporaryFolder folder;
  auto begin = std::chrono::steady_clock::now();
  Started started(forkscope_run({"--timeout=300ms", "--json=" + (folder / "report")},
                                probe({"stubborn-tree"})));
  pid_t grandchild = std::stoi(started.line());
  CHECK(process_lives(grandchild));
  Ended ended = started.end();
  CHECK(ended.exit() == 124);
  CHECK(ended.errors.find("--timeout is over") != std::string::npos);
  CHECK_FALSE(process_lives(grandchild));
  CHECK(read_file(folder / "report").find("\"schema\"") != std::string::npos);
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::milliseconds(2300));
}

TEST_CASE("option --timeout reaches a program that was stopped") {
  Started started(forkscope_run({"--timeout=2", "--quiet"},
                                {"sh", "-c", "echo $$; kill -STOP $$; echo continued"}));
  pid_t program = std::stoi(started.line());
  Ended ended = started.end();
  CHECK(ended.exit() == 124);
  CHECK_FALSE(process_lives(program));
}

TEST_CASE("a program that ends in time is not touched by --timeout") {
  CHECK(run(forkscope_run({"--timeout=1h"}, probe({"exit", "4"}))).exit() == 4);
}

TEST_CASE("the run ends with the program, not with what it left behind") {
  Started started(forkscope_run(
      {"--quiet"}, {"sh", "-c", "sleep 1000 </dev/null >/dev/null 2>&1 & echo $!; exit 6"}));
  pid_t left_behind = std::stoi(started.line());
  CHECK(started.end().exit() == 6);
  CHECK(process_lives(left_behind));
  kill(left_behind, SIGKILL);
}
