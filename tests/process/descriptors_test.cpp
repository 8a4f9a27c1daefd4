// --check=descriptors in real processes. descriptors_probe says what each of its modes does.
#include <sys/utsname.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

json findings_of(const std::string& mode, std::vector<std::string> options) {
  TemporaryFolder folder;
  options.insert(options.end(), {"--quiet", "--json=" + (folder / "report")});
  const Ended ended = run(forkscope_run(options, {DESCRIPTORS_PROBE, mode}));
  INFO(mode << ": " << ended.errors);
  CHECK(ended.exit() == 0);
  return json::parse(read_file(folder / "report")).at("findings");
}

json checked(const std::string& mode) { return findings_of(mode, {"--check=descriptors"}); }

json only(const json& findings) {
  INFO(findings.dump(1));
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].at("kind") == "shared-descriptor");
  return findings[0];
}

json findings_of_scenario(const std::string& program, const std::string& method) {
  TemporaryFolder folder;
  run(forkscope_run({"--quiet", "--check=descriptors", "--json=" + (folder / "report")},
                    {program, "--method=" + method, "--workers=1", "--patience=1000"}));
  return json::parse(read_file(folder / "report")).at("findings");
}

/// What the kernel says of an eventfd; before 6.5 it does not tell a semaphore from others.
bool kernel_tells_semaphores() {
  utsname system{};
  int major = 0, minor = 0;
  uname(&system);
  REQUIRE(std::sscanf(system.release, "%d.%d", &major, &minor) == 2);
  return major > 6 || (major == 6 && minor >= 5);
}

struct Shared {
  const char* mode;
  const char* severity;
  const char* type;
  const char* call;
};

}  // namespace

TEST_CASE("what parent and child both use is told, with both calls") {
  const auto one =
      GENERATE(Shared{"both-write-connection", "hazard", "stream socket", "send"},
               Shared{"both-read-connection", "hazard", "stream socket", "read"},
               Shared{"both-receive-messages", "hazard", "datagram socket", "read"},
               Shared{"both-wait-at-epoll", "hazard", "epoll instance", "epoll_wait"},
               Shared{"both-use-inotify", "hazard", "inotify instance", "inotify_add_watch"},
               Shared{"both-read-eventfd", kernel_tells_semaphores() ? "hazard" : "note", "eventfd",
                      "eventfd_read"},
               Shared{"both-read-pipe", "hazard", "pipe", "read"},
               Shared{"both-write-pipe", "note", "pipe", "write"});
  const json finding = only(checked(one.mode));
  INFO(finding.dump(1));
  CHECK(finding.at("severity") == one.severity);
  CHECK(finding.at("evidence") == "both-use");
  CHECK(finding.at("lock").at("type") == one.type);
  CHECK(finding.at("waiter").at("call") == one.call);
  CHECK_FALSE(finding.at("waiter").at("stack").empty());
  CHECK_FALSE(finding.at("holder").at("acquired").empty());
  CHECK(finding.at("holder").at("tid") != finding.at("waiter").at("tid"));
  CHECK_FALSE(finding.at("fork_stack").empty());
}

TEST_CASE("two children that talk on one connection are told once") {
  const json finding = only(checked("siblings-talk"));
  CHECK(finding.at("severity") == "hazard");
  CHECK(finding.at("evidence") == "siblings-use");
  CHECK(finding.at("lock").at("type") == "stream socket");
  CHECK(finding.at("count") == 2);
}

TEST_CASE("what a child keeps open to its end and does not use is a note") {
  const json findings = checked("keeps-all");
  std::multiset<std::string> types;
  for (const json& finding : findings) {
    CHECK(finding.at("kind") == "shared-descriptor");
    CHECK(finding.at("severity") == "note");
    CHECK(finding.at("evidence") == "kept-open");
    CHECK(finding.at("process") != 0);
    types.insert(finding.at("lock").at("type"));
  }
  CHECK(types == std::multiset<std::string>{"pipe", "stream socket", "datagram socket",
                                            "listening socket", "epoll instance",
                                            "inotify instance", "eventfd", "locked file"});
}

TEST_CASE(
    "a forgotten write end is told of the child that has it, although the parent closed its") {
  const json finding = only(checked("pipe-never-ends"));
  CHECK(finding.at("severity") == "note");
  CHECK(finding.at("evidence") == "kept-open");
  CHECK(finding.at("verdict").get<std::string>().find("the write end of a pipe") !=
        std::string::npos);
  CHECK(finding.at("explanation").get<std::string>().find("sees its end only when") !=
        std::string::npos);
}

TEST_CASE("programs that share as one should have nothing to read") {
  const std::string mode = GENERATE("closes-all", "executes", "hands-over", "tells-its-death",
                                    "each-its-end", "both-accept", "both-send-messages", "own-ones",
                                    "wakes-by-eventfd", "starts-with-some");
  const json findings = checked(mode);
  INFO(mode << "\n" << findings.dump(1));
  CHECK(findings.empty());
}

TEST_CASE("a semaphore that parent and child take from is no hazard") {
  const json findings = checked("both-read-semaphore");
  INFO(findings.dump(1));
  if (kernel_tells_semaphores())
    CHECK(findings.empty());
  else
    CHECK(only(findings).at("severity") == "note");
}

TEST_CASE("descriptors are not looked at unless that is asked for") {
  CHECK(findings_of("both-write-connection", {}).empty());
  CHECK(findings_of("keeps-all", {}).empty());
}

TEST_CASE("the option --check takes what it knows, and nothing else") {
  const Ended ended = run(forkscope_run({"--check=weather"}, {DESCRIPTORS_PROBE, "closes-all"}));
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("--check"));
}

TEST_CASE("in text it says whose descriptor it is, and where the other one uses it") {
  const Ended ended = run(forkscope_run({"--verbose", "--check=descriptors"},
                                        {DESCRIPTORS_PROBE, "both-write-connection"}));
  INFO(ended.errors);
  const auto contains = [&](const char* part) {
    return ended.errors.find(part) != std::string::npos;
  };
  CHECK(contains("writes to the same stream socket as its parent (descriptor "));
  CHECK(contains("  descriptor\n    stream socket (descriptor "));
  CHECK(contains("  used there at\n"));
  CHECK(contains("  child called at\n    send(), thread "));
}

TEST_CASE("the pipe that never ends is told, and its cured twins are not") {
  const auto findings = [](const std::string& method) {
    return findings_of_scenario(SCENARIO_PIPE, method);
  };
  const json finding = only(findings("fork"));
  CHECK(finding.at("evidence") == "kept-open");
  CHECK(finding.at("severity") == "note");
  CHECK(finding.at("fork_stack").dump().find("Bystander") != std::string::npos);
  CHECK(findings("fork-closed").empty());
  CHECK(findings("fork-exec").empty());
}

TEST_CASE("the connection of parent and worker is told, and one for each of them is not") {
  const json findings = findings_of_scenario(SCENARIO_CONNECTION, "fork");
  const auto hazard = [](const json& finding) { return finding.at("severity") == "hazard"; };
  CHECK(std::count_if(findings.begin(), findings.end(), hazard) == 1);
  CHECK(findings.at(0).at("evidence") == "both-use");
  CHECK(findings.at(0).at("holder").at("acquired").dump().find("answer") != std::string::npos);
  CHECK(findings_of_scenario(SCENARIO_CONNECTION, "fork-own-connection").empty());
}
