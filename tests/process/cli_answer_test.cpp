// An answer that cannot be written is a failure, and one that nobody can read was not asked for.
#include <fcntl.h>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

/// Its standard output is a device that takes nothing.
Ended run_to_full(const std::vector<std::string>& arguments) {
  return run(arguments, "", [] {
    if (dup2(open("/dev/full", O_WRONLY), STDOUT_FILENO) != STDOUT_FILENO) _exit(97);
  });
}

}  // namespace

TEST_CASE("an answer that is lost ends with 125 and says so") {
  TemporaryFolder folder;
  const std::string session = folder / "session";
  run(forkscope_run({"--quiet", "--session=" + session}, probe({"exit", "0"})));
  const std::string exe = FORKSCOPE_EXE;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {exe, "report", session},
           {exe, "report", "--json", "-", session},
           {exe, "report", session, session},
           {exe, "scan", "--json", "-"},
           {exe, "attach", std::to_string(getpid()), "--json", "-"},
           {exe, "run", "--inject", "help"},
           {exe, "scenario", "list"},
           {exe, "scenario", "show", "parquet-lock"},
           {exe, "bench", "--list"},
           {exe, "run", "--help"},
           {exe, "--version"}}) {
    const Ended ended = run_to_full(words);
    INFO(words[1] << ": " << ended.errors);
    CHECK(ended.exit() == 125);
    CHECK(ended.errors.find("cannot write to standard output: No space left on device") !=
          std::string::npos);
  }
}

TEST_CASE("a report file that takes nothing ends with 125, too") {
  const Ended ended = run(forkscope_run({"--json=/dev/full"}, probe({"exit", "3"})));
  CHECK(ended.exit() == 125);
  CHECK(ended.errors.find("cannot write /dev/full: No space left on device") != std::string::npos);
}

TEST_CASE("the program's standard output is no place for a report: - is refused, and no file's name") {
  TemporaryFolder folder;
  const auto there = [&] {
    if (chdir(folder.path().c_str()) != 0) _exit(97);
  };
  for (const char* option : {"--json=-", "--write-baseline=-"}) {
    const Ended ended = run(forkscope_run({option}, probe({"touch", folder / "mark"})), "", there);
    INFO(option << ": " << ended.errors);
    CHECK(ended.exit() == 125);
    CHECK(ended.one_sentence_with("=FILE"));
    CHECK_FALSE(exists(folder / "mark"));
    CHECK_FALSE(exists(folder / "-"));
  }
  const Ended named = run(forkscope_run({"--json=./-"}, probe({"exit", "0"})), "", there);
  CHECK(named.exit() == 0);
  CHECK(exists(folder / "-"));
}

TEST_CASE("nothing that is given on the command line steers the terminal, or fills it") {
  const std::string evil = "\x1b]0;owned\x07" + std::string(70'000, 'x');
  const std::string exe = FORKSCOPE_EXE;
  for (const std::vector<std::string>& words : std::vector<std::vector<std::string>>{
           {exe, evil},
           {exe, "run", "--" + evil, "true"},
           {exe, "run", "--fail-on=" + evil, "true"},
           {exe, "run", "--timeout=" + evil, "true"},
           {exe, "run", "--inject=" + evil, "true"},
           {exe, "run", evil},
           {exe, "attach", evil},
           {exe, "report", evil},
           {exe, "scan", "--user", evil},
           {exe, "scenario", "show", evil}}) {
    const Ended ended = run(words);
    INFO(words[1] << " says " << ended.errors.substr(0, 300));
    CHECK(ended.exit() >= 125);
    CHECK(ended.errors.find_first_of("\x1b\x07") == std::string::npos);
    CHECK(ended.errors.size() < 4096);
    CHECK(ended.errors.starts_with("forkscope: "));
  }
}
