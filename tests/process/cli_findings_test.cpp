// What the command does about a finding. The program is the canonical one: a thread holds a lock,
// the child asks for it. Whether the finding itself is right is tested elsewhere.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

Ended run_deadlock(std::vector<std::string> options) {
  options.emplace_back("--on-deadlock=kill");
  return run(forkscope_run(options, probe({"deadlock"})));
}

}  // namespace

TEST_CASE("a deadlock is reported, and the status is still the program's") {
  Ended ended = run_deadlock({});
  CHECK(ended.exit() == 10);
  CHECK(ended.output.empty());
  CHECK(ended.errors.find("table_lock") != std::string::npos);
  CHECK(ended.errors.find('\x1b') == std::string::npos);
}

TEST_CASE("each finding is printed once") {
  std::string errors = run_deadlock({}).errors;
  std::size_t lock = errors.find("table_lock");
  REQUIRE(lock != std::string::npos);
  std::string first_line = errors.substr(0, errors.find('\n'));
  CHECK(errors.find(first_line, 1) == std::string::npos);
}

TEST_CASE("option --fail-on means this severity and graver ones, only:LIST just those") {
  CHECK(run_deadlock({"--fail-on=deadlock"}).exit() == 86);
  CHECK(run_deadlock({"--fail-on=latent,deadlock", "--error-exitcode=3"}).exit() == 3);
  for (const char* milder : {"probable", "latent", "hazard", "note"})
    CHECK(run_deadlock({std::string("--fail-on=") + milder}).exit() == 86);
  CHECK(run_deadlock({"--fail-on=only:latent,note"}).exit() == 10);
  CHECK(run_deadlock({"--fail-on=only:deadlock"}).exit() == 86);
  CHECK(
      run(forkscope_run({"--fail-on=deadlock,latent,hazard,note"}, probe({"exit", "0"}))).exit() ==
      0);
}

TEST_CASE("option --quiet keeps the finding out of standard error, not out of the JSON file") {
  TemporaryFolder folder;
  Ended ended = run_deadlock({"--quiet", "--json=" + (folder / "report")});
  CHECK(ended.errors.empty());
  auto report = nlohmann::json::parse(read_file(folder / "report"));
  CHECK(report.at("findings").size() == 1);
}

TEST_CASE("option --colour=always colours what is not a terminal, too") {
  CHECK(run_deadlock({"--colour=always"}).errors.find('\x1b') != std::string::npos);
}

TEST_CASE("option --on-deadlock=exit:N is passed on") {
  CHECK(run(forkscope_run({"--quiet", "--on-deadlock=exit:33"}, probe({"deadlock"}))).exit() == 33);
}

TEST_CASE("a run that is to fail on findings ends: the child that hangs is killed") {
  TemporaryFolder folder;
  std::ofstream(folder / "empty") << "forkscope-baseline 1\n";
  for (const std::string& option : {std::string("--fail-on=deadlock"), std::string("--fail-on=note"),
                                    "--baseline=" + (folder / "empty")}) {
    const Ended ended = run(forkscope_run({option}, probe({"deadlock"})));
    INFO(ended.errors);
    CHECK(ended.exit() == 86);
    CHECK(ended.errors.find("was killed") != std::string::npos);
  }
}

TEST_CASE("what happens to a child that hangs is as it was said, also in the environment") {
  const std::vector<std::string> wanted{"--fail-on=only:note", "--on-deadlock=exit:33"};
  CHECK(run(forkscope_run(wanted, probe({"deadlock"}))).exit() == 33);
  const auto set = [] { setenv("FORKSCOPE_OPTIONS", "on_deadlock=exit:34", 1); };
  CHECK(run(forkscope_run({"--fail-on=only:note"}, probe({"deadlock"})), "", set).exit() == 34);
  const auto other = [] { setenv("FORKSCOPE_OPTIONS", "unsafe_calls=off", 1); };
  CHECK(run(forkscope_run({"--fail-on=deadlock"}, probe({"deadlock"})), "", other).exit() == 86);
}

TEST_CASE("a deadlock is reported while the program still waits, and --timeout ends the wait") {
  Ended ended = run(forkscope_run(
      {"--timeout=1", "--fail-on=deadlock", "--on-deadlock=report"}, probe({"deadlock"})));
  CHECK(ended.exit() == 86);  // before the timeout's 124
  std::size_t lock = ended.errors.find("table_lock");
  std::size_t over = ended.errors.find("--timeout is over");
  REQUIRE(lock != std::string::npos);
  REQUIRE(over != std::string::npos);
  CHECK(lock < over);
}

TEST_CASE("whoever waits for a deadlocked child is told what would end the wait") {
  std::vector<std::string> command{"/bin/sh", "-c", "exec \"$@\" 2>&1", "sh"};
  std::vector<std::string> arguments = forkscope_run({}, probe({"deadlock"}));
  command.insert(command.end(), arguments.begin(), arguments.end());
  Started started(command);
  const std::string advice = "forkscope: the program may now wait for ever for process ";
  std::string line;
  do line = started.line();
  while (!line.starts_with(advice));
  CHECK(line.find("--on-deadlock=kill") != std::string::npos);
  kill(std::stoi(line.substr(advice.size())), SIGKILL);  // the child it names: the wait ends
  Ended ended = started.end();
  CHECK(ended.exit() == 10);
  CHECK(ended.output.find(advice) == std::string::npos);  // said once
}
