// A program cannot tell that it runs under the command: status, streams, arguments, descriptors,
// environment.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <random>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

TEST_CASE("the exit status passes through") {
  for (int status : {0, 1, 86, 124, 255}) {
    Ended ended = run(forkscope_run({"--quiet"}, probe({"exit", std::to_string(status)})));
    CHECK(ended.exit() == status);
    CHECK(ended.errors.empty());
  }
}

TEST_CASE("who waits for the command sees the signal that ended the program") {
  for (int signal : {SIGKILL, SIGTERM, SIGSEGV, SIGPIPE, SIGINT, SIGHUP, SIGCHLD + 20}) {
    CAPTURE(signal);
    Ended bare = run(probe({"die", std::to_string(signal)}));
    Ended ended = run(forkscope_run({"--quiet"}, probe({"die", std::to_string(signal)})));
    CHECK(ended.signal() == bare.signal());
    CHECK(ended.exit() == bare.exit());
    CHECK(ended.errors.empty());
  }
}

TEST_CASE("standard input and output pass through byte for byte") {
  std::mt19937 random(7);
  std::string bytes(3'000'000, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  Ended ended = run(forkscope_run({"--verbose"}, {"cat"}), bytes);
  CHECK(ended.exit() == 0);
  CHECK((ended.output == bytes));  // not printed when it differs
}

TEST_CASE("arguments pass through untouched") {
  std::vector<std::string> odd{"", "--", "--json=x", "[a,b]", "-q", "{}", "a b", "\xff\xfe", "'\\"};
  std::vector<std::string> command = probe({"arguments"});
  command.insert(command.end(), odd.begin(), odd.end());
  std::string expected;
  for (const std::string& argument : odd) expected += argument + '\0';
  CHECK(run(forkscope_run({}, command)).output == expected);
  command.insert(command.begin(), {FORKSCOPE_EXE, "run"});  // and without the --
  CHECK(run(command).output == expected);
}

TEST_CASE("the program has the descriptors it would have alone") {
  TemporaryFolder folder;
  auto descriptors = [&](const std::function<void()>& prepare) {
    std::vector<std::string> command = probe({"descriptors", folder / "list"});
    CHECK(run(command, "", prepare).exit() == 0);
    std::string bare = read_file(folder / "list");
    CHECK(run(forkscope_run({"--json=" + (folder / "report")}, command), "", prepare).exit() == 0);
    CHECK(read_file(folder / "list") == bare);
    return bare;
  };
  CHECK(descriptors({}) == "0 1 2 ");
  CHECK(descriptors([] { dup2(0, 7); }) == "0 1 2 7 ");
  CHECK(descriptors([] { close(0); }) == "1 2 ");
  CHECK(descriptors([] { close(2); }) == "0 1 ");
  CHECK(descriptors([] { close(0), close(1), close(2); }).empty());
}

TEST_CASE("with standard error closed nothing is written into other files") {
  TemporaryFolder folder;
  Ended ended =
      run(forkscope_run({"--session=" + (folder / "session"), "--json=" + (folder / "report")},
                        probe({"exit", "5"})),
          "", [] { close(2); });
  CHECK(ended.exit() == 5);
  CHECK(ended.output.empty());
  CHECK(read_file(folder / "session/records").starts_with("FKSCOPE"));
  CHECK(read_file(folder / "report").starts_with("{"));
}

TEST_CASE("a reader of standard error that went away ends nothing") {
  Ended ended = run(forkscope_run({}, probe({"exit", "5"})), "", [] {
    int ends[2];
    if (pipe(ends) != 0) _exit(97);
    close(ends[0]);
    dup2(ends[1], 2);
  });
  CHECK(ended.exit() == 5);
}

TEST_CASE("the user's preload libraries and options are kept") {
  auto value = [](const char* name, const std::function<void()>& prepare,
                  const std::vector<std::string>& options = {}) {
    return run(forkscope_run(options, probe({"environment", name})), "", prepare).output;
  };
  CHECK(value("LD_PRELOAD", {}) == FORKSCOPE_PRELOAD "\n");
  CHECK(value("LD_PRELOAD", [] { setenv("LD_PRELOAD", "libm.so.6", 1); }) == FORKSCOPE_PRELOAD
        ":libm.so.6\n");

  TemporaryFolder folder;
  std::string session = "session=" + (folder / "odd\\:x") + ":";
  std::string with_colon = folder / "odd:x";
  CHECK(value("FORKSCOPE_OPTIONS", {}, {"--session=" + with_colon}) == session + "log=none\n");
  std::filesystem::remove_all(with_colon);
  CHECK(value("FORKSCOPE_OPTIONS", [] { setenv("FORKSCOPE_OPTIONS", "on_deadlock=kill", 1); },
              {"--session=" + with_colon}) == "on_deadlock=kill:" + session + "log=none\n");
  std::filesystem::remove_all(with_colon);
  CHECK(value("FORKSCOPE_OPTIONS", {}, {"--session=" + with_colon, "--on-deadlock=exit:3"}) ==
        session + "on_deadlock=exit\\:3:log=none\n");
  CHECK(value("TERM", [] { setenv("TERM", "odd", 1); }) == "odd\n");
}

TEST_CASE("the signal mask and the ignored signals are those the command was started with") {
  auto states_agree = [](const std::function<void()>& prepare) {
    std::string bare = run(probe({"signal-state"}), "", prepare).output;
    CHECK(run(forkscope_run({}, probe({"signal-state"})), "", prepare).output == bare);
    return bare;
  };
  std::string plain = states_agree({});
  std::string changed = states_agree([] {
    for (int ignored : {SIGPIPE, SIGHUP, SIGCHLD, SIGINT}) signal(ignored, SIG_IGN);
    sigset_t set;
    sigemptyset(&set);
    for (int blocked : {SIGUSR1, SIGTERM, SIGRTMIN + 5}) sigaddset(&set, blocked);
    sigprocmask(SIG_BLOCK, &set, nullptr);
  });
  CHECK(plain != changed);
}
