// fork:probe in real processes: what would hang is told, what would not is not, and the program
// notices nothing.
#include <catch2/catch.hpp>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

struct Probed {
  Ended ended;
  json report;

  /// How many probes came to each result.
  std::map<std::string, int> results() const {
    std::map<std::string, int> counts;
    for (const json& one : report.at("injected"))
      counts[one.at("result").get<std::string>()] += one.at("count").get<int>();
    return counts;
  }
  /// What a probe's children were at when they did not pass.
  std::map<std::string, int> hung() const {
    std::map<std::string, int> counts;
    for (const json& one : report.at("injected"))
      if (one.at("result") == "would-hang")
        counts[one.at("probed").get<std::string>()] += one.at("count").get<int>();
    return counts;
  }
  std::vector<json> findings() const {
    std::vector<json> found;
    for (const json& one : report.at("findings"))
      if (one.at("outcome") == "probe") found.push_back(one);
    return found;
  }
};

Probed probe_program(const std::string& spec, const std::vector<std::string>& command,
                     std::vector<std::string> options = {"--quiet"}) {
  TemporaryFolder folder;
  const std::string file = folder / "report.json";
  options.push_back("--json=" + file);
  options.push_back("--inject=" + spec);
  Probed probed;
  probed.ended = run(forkscope_run(options, command));
  INFO(probed.ended.errors);
  INFO(probed.ended.output);
  REQUIRE(exists(file));
  probed.report = json::parse(read_file(file));
  return probed;
}

/// Whether the kernel can do it at all: then every test here says something.
bool is_possible() {
  static const bool possible = [] {
    const Probed any = probe_program("fork:probe,every=1", {FORK_PROBE_PROGRAM, "unused"});
    return any.results().count("not-possible") == 0;
  }();
  return possible;
}

#define REQUIRE_PROBES()                                        \
  if (!is_possible()) {                                         \
    WARN("the kernel has no syscall user dispatch: not tried"); \
    return;                                                     \
  }

std::string functions(const json& stack) {
  std::string all;
  for (const json& frame : stack)
    if (frame["function"].is_string()) all += frame["function"].get<std::string>() + "\n";
  return all;
}

}  // namespace

TEST_CASE("a lock that the program's children take and a thread keeps: told, with both stacks") {
  REQUIRE_PROBES();
  const Probed probed = probe_program("fork:probe,every=5", {FORK_PROBE_PROGRAM, "held"});
  CHECK(probed.ended.exit() == 0);
  const auto findings = probed.findings();
  REQUIRE(findings.size() == 1);
  const json& finding = findings[0];
  CHECK(finding["kind"] == "orphaned-lock");
  CHECK(finding["severity"] == "latent");
  CHECK(finding["evidence"] == "owner-word");
  CHECK(finding["lock"]["symbol"] == "probed::wanted_lock");
  CHECK(finding["waiter"]["call"] == "pthread_mutex_lock");
  CHECK(functions(finding["waiter"]["stack"]).find("child_work") != std::string::npos);
  CHECK(functions(finding["holder"]["acquired"]).find("keep_wanted") != std::string::npos);
  // Which of its lock operations the fifth is depends on how far the thread has come.
  CHECK(functions(finding["fork_stack"]).find("held_while_probed") != std::string::npos);
  CHECK(probed.hung().count("lock") == 1);
  CHECK(finding["count"] == probed.hung()["lock"]);
  CHECK(finding["process"] == probed.report["injected"][0]["pid"]);
  // Nothing of the program hung, and it forked once.
  CHECK(probed.report["forks"].size() == 1);
  CHECK(probed.report["summary"]["forks"] == 1);
  CHECK(probed.report["summary"]["deadlocked"] == 0);
  CHECK(probed.report["findings"].size() == 1);
}

TEST_CASE("the finding in words, and an exit status for it") {
  REQUIRE_PROBES();
  const Ended ended = run(forkscope_run({"--fail-on=latent", "--inject=fork:probe,every=5"},
                                        {FORK_PROBE_PROGRAM, "held"}));
  CHECK(ended.exit() == 86);
  for (const char* part : {"LATENT DEADLOCK", "a probe found it", "mutex probed::wanted_lock",
                           "a child takes it at", "fork:probe,every=5: ", "would-hang"})
    CHECK(ended.errors.find(part) != std::string::npos);
}

TEST_CASE("silent: a lock that handlers or the child make good, that no child waits for") {
  REQUIRE_PROBES();
  for (const char* what : {"protected", "repaired", "unused", "tried"}) {
    CAPTURE(what);
    const Probed probed = probe_program("fork:probe,every=5", {FORK_PROBE_PROGRAM, what});
    CHECK(probed.ended.exit() == 0);
    CHECK(probed.findings().empty());
    CHECK(probed.results().count("passed") == 1);
    CHECK(probed.results().size() == 1);
  }
}

TEST_CASE("an allocator that knows nothing of fork: malloc would hang") {
  REQUIRE_PROBES();
  const Probed probed = probe_program("fork:probe,every=1,limit=8", {FORK_PROBE_MALLOC});
  CHECK(probed.ended.exit() == 0);
  CHECK(probed.hung()["malloc"] >= 1);
  const auto findings = probed.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0]["lock"]["symbol"].get<std::string>().find("pool_lock") != std::string::npos);
  CHECK(functions(findings[0]["waiter"]["stack"]).find("malloc") != std::string::npos);
  CHECK(functions(findings[0]["holder"]["acquired"]).find("keep_pool") != std::string::npos);
}

TEST_CASE("silent: malloc and stdio of libc, which fork sets free in the child") {
  REQUIRE_PROBES();
  const Probed probed =
      probe_program("fork:probe,every=2,wait=10s", {FORK_PROBE_PROGRAM, "malloc-libc"});
  CHECK(probed.ended.exit() == 0);
  CHECK(probed.findings().empty());
  CHECK(probed.results().size() == 1);
  CHECK(probed.results()["passed"] >= 10);
}

TEST_CASE("a thread inside a function of libc whose lock stays: told once, not waited for again") {
  REQUIRE_PROBES();
  const Probed probed =
      probe_program("fork:probe,every=5,wait=300ms", {FORK_PROBE_PROGRAM, "objects"});
  CHECK(probed.ended.exit() == 0);
  CHECK(probed.hung() == std::map<std::string, int>{{"dl_iterate_phdr", 1}});
  CHECK(probed.results()["passed"] >= 3);
  const auto findings = probed.findings();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0]["kind"] == "libc-lock");
  CHECK(findings[0]["severity"] == "latent");
  CHECK(findings[0]["holder"]["tid"] != 0);
  CHECK(probed.report["findings"].size() == 1);  // the watchdog has nothing to say of it
}

TEST_CASE("no probe in what libc calls back, nor in a signal handler") {
  REQUIRE_PROBES();
  const Probed probed = probe_program("fork:probe,every=1", {FORK_PROBE_PROGRAM, "callback"});
  CHECK(probed.ended.exit() == 0);
  std::string stacks;
  for (const json& one : probed.report["injected"]) stacks += functions(one["stack"]);
  CHECK(stacks.find("touch_inside") == std::string::npos);
  CHECK(probed.results()["passed"] >= 1);
}

TEST_CASE("the program notices nothing") {
  REQUIRE_PROBES();
  const std::string expected =
      "again: the same\nSIGCHLD: 0\nwaitpid: ECHILD\nerrno: kept\nSIGSYS: the same\n"
      "pending: the same\nmask: the same\nhandlers: in balance\nprobed: yes\nown child: 1\n";
  const Probed probed = probe_program("fork:probe,every=3", {FORK_PROBE_PROGRAM, "unnoticed"});
  CHECK(probed.ended.exit() == 0);
  CHECK(probed.ended.output == expected);
  CHECK(probed.results().size() == 1);
  CHECK(probed.results()["passed"] >= 8);
  CHECK(probed.report["summary"]["forks"] == 1);
}

TEST_CASE("at most as many as limit says, of all processes together") {
  REQUIRE_PROBES();
  const Probed probed =
      probe_program("fork:probe,every=1,limit=2", {FORK_PROBE_PROGRAM, "unnoticed"});
  CHECK(probed.results() == std::map<std::string, int>{{"passed", 2}});
}

TEST_CASE("where a sandbox forbids it: said once, nothing forked, nobody harmed") {
  const Probed probed = probe_program("fork:probe,every=3", {FORK_PROBE_PROGRAM, "forbidden"});
  CHECK(probed.ended.exit() == 0);
  CHECK(probed.ended.output.find("probed: no\nown child: 1\n") != std::string::npos);
  REQUIRE(probed.report["injected"].size() == 1);
  CHECK(probed.report["injected"][0]["result"] == "not-possible");
  CHECK(probed.report["injected"][0]["errno"] == "EPERM");
}
