// Latent deadlocks under `forkscope run`: found in a run that passed, and only where there is one.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

json observe(const std::string& mode) {
  TemporaryFolder folder;
  const std::string file = folder / "report.json";
  const Ended ended =
      run(forkscope_run({"--json", file, "--unsafe-calls=off"}, {LATENT_PROBE, mode, LATENT_PLUGIN}));
  INFO(ended.errors);
  CHECK(ended.exit() == 0);  // 77: the address did not come again, and nothing was tested
  std::ifstream in(file);
  return json::parse(in);
}

bool has_function(const json& stack, const std::string& name) {
  for (const json& frame : stack)
    if (frame["function"].is_string() && frame["function"].get<std::string>().starts_with(name))
      return true;
  return false;
}

}  // namespace

TEST_CASE("a lock that another thread took before the fork and the child takes after it is latent") {
  for (const char* mode : {"recent", "trylocked-by-thread", "in-condition-wait", "many-locks",
                           "grandchild", "grandchild-of-threads",
                           "grandchild-of-a-worker", "tried-often-before", "forked-by-a-thread"}) {
    INFO(mode);
    const json report = observe(mode);
    REQUIRE(report["findings"].size() == 1);
    const json& finding = report["findings"][0];
    CHECK(finding["kind"] == "orphaned-lock");
    CHECK(finding["severity"] == "latent");
    CHECK(finding["evidence"] == "took-before");
    CHECK(has_function(finding["waiter"]["stack"], "(anonymous namespace)::use"));
  }
}

TEST_CASE("a lock that a handler may have made anew by an assignment is a hazard") {
  const json report = observe("assigned-by-handler");
  REQUIRE(report["findings"].size() == 1);
  CHECK(report["findings"][0]["severity"] == "hazard");
  CHECK(report["findings"][0]["evidence"] == "took-before");
}

TEST_CASE("a held lock that the child sets up anew is no hazard, one that it may have is a note") {
  const json untouched = observe("held-untouched");
  REQUIRE(untouched["findings"].size() == 1);
  CHECK(untouched["findings"][0]["kind"] == "orphaned-lock");
  CHECK(untouched["findings"][0]["severity"] == "hazard");
  CHECK(observe("held-made-anew")["findings"].empty());
  CHECK(observe("held-made-anew-by-handler")["findings"].empty());
  const json assigned = observe("held-assigned-by-handler");
  REQUIRE(assigned["findings"].size() == 1);
  CHECK(assigned["findings"][0]["severity"] == "note");
}

TEST_CASE("more locks than are remembered are said to be") {
  CHECK(observe("too-many-locks")["summary"]["full_histories"] == 1);
  CHECK(observe("many-locks")["summary"]["full_histories"] == 0);
}

TEST_CASE("a reader's lock that the child reads is free to be told of when it writes") {
  const json report = observe("read-then-write");
  REQUIRE(report["findings"].size() == 1);
  CHECK(report["findings"][0]["waiter"]["call"] == "pthread_rwlock_wrlock");
}

TEST_CASE("a latent finding has both stacks, the fork's, and how often the lock was taken") {
  const json finding = observe("recent")["findings"][0];
  CHECK(finding["lock"]["symbol"] == "(anonymous namespace)::plain");
  CHECK(finding["holder"]["name"] == "other");
  CHECK(finding["holder"]["uses"] == 1);
  CHECK(has_function(finding["holder"]["acquired"], "(anonymous namespace)::use"));
  CHECK(has_function(finding["fork_stack"], "(anonymous namespace)::child_does"));
  CHECK(observe("many-locks")["findings"][0]["holder"]["uses"] == 3);
}

TEST_CASE("a lock is its own module's, whatever lay at its address before") {
  const json report = observe("replaced");
  const json& findings = report["findings"];
  REQUIRE(findings.size() == 3);
  const auto module_of = [](const json& lock) {
    return lock["module"].is_string() ? lock["module"].get<std::string>() : "";
  };
  for (const std::string plugin : {"latent_plugin", "second_plugin"}) {
    const json& finding = findings[plugin == "second_plugin"];
    INFO(finding.dump(1));
    CHECK(module_of(finding["lock"]).ends_with("/lib" + plugin + ".so"));
    CHECK(has_function(finding["holder"]["acquired"], plugin + "_use"));
    CHECK(has_function(finding["waiter"]["stack"], plugin + "_use"));
  }
  CHECK(module_of(findings[2]["lock"]).empty());
  CHECK(findings[2]["lock"]["address"] == findings[0]["lock"]["address"]);
}

TEST_CASE("nothing is said of another lock at the same address, nor of a protected one") {
  for (const char* mode :
       {"busy-worker", "other-lock", "only-tries", "ended-thread", "before-threads", "freed", "freed-pages",
        "reallocated", "permits", "deleted", "destroyed", "initialised-in-child", "unmapped", "on-stack", "unloaded",
        "protected-by-handlers", "made-anew-by-handlers", "many-protected", "shared-memory",
        "posted-by-another", "child-execs"}) {
    INFO(mode);
    const json report = observe(mode);
    INFO(report["findings"].dump(1));
    CHECK(report["findings"].empty());
  }
}
