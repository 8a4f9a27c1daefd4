// At-fork handlers under `forkscope run`: the program runs as alone, what they did is in the
// report, and what is wrong with them is found; what is right is left in peace.
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

struct Observed {
  Ended ended;
  json report;

  /// The only finding, null when there is not exactly one.
  json only() const {
    const json& findings = report["findings"];
    return findings.size() == 1 ? findings[0] : json();
  }
};

Observed observe(const std::vector<std::string>& command) {
  TemporaryFolder folder;
  std::string file = folder / "report.json";
  Observed observed{run(forkscope_run({"--json", file, "--on-deadlock=exit:86"}, command)), {}};
  std::ifstream in(file);
  if (in) observed.report = json::parse(in);
  return observed;
}
Observed observe(const std::string& mode) { return observe({ATFORK_PROBE, mode}); }

std::string function_of(const json& frame) {
  return frame.is_object() && frame["function"].is_string() ? frame["function"].get<std::string>()
                                                            : "";
}

std::vector<std::string> symbols(const json& locks) {
  std::vector<std::string> names;
  for (const auto& lock : locks) names.push_back(lock["symbol"]);
  return names;
}

}  // namespace

TEST_CASE("handlers run in the order and with the errno they have alone") {
  for (const char* mode :
       {"order", "many", "too-many", "errno", "inside", "nested", "longjmp", "exit", "at-once"}) {
    INFO(mode);
    const Ended alone = run({ATFORK_PROBE, mode});
    const Observed seen = observe(mode);
    CHECK(alone.exit() == 0);
    CHECK(seen.ended.exit() == 0);
    CHECK_FALSE(alone.output.empty());
    CHECK(seen.ended.output == alone.output);
  }
}

TEST_CASE("handlers of an object go with dlclose, more often than there is room for") {
  const Ended alone = run({ATFORK_PROBE, "plugins", ATFORK_PLUGIN});
  const Observed seen = observe({ATFORK_PROBE, "plugins", ATFORK_PLUGIN});
  CHECK(alone.exit() == 0);
  CHECK(seen.ended.exit() == 0);
  CHECK(alone.output.find("parent 01, child") != std::string::npos);
  CHECK(alone.output.find("parent , child") != std::string::npos);
  CHECK(seen.ended.output == alone.output);
  CHECK(seen.report["findings"].empty());
}

TEST_CASE("the report has who registered handlers, how long they took and what they locked") {
  const Observed seen = observe("protects");
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.report["findings"].empty());
  REQUIRE(seen.report["forks"].size() == 1);
  const json& handlers = seen.report["forks"][0]["handlers"];
  REQUIRE(handlers.is_array());
  REQUIRE(handlers.size() == 2);
  INFO(handlers.dump(1));
  CHECK(handlers[0]["order"] == 1);
  CHECK(function_of(handlers[0]["registered"]).find("protects") != std::string::npos);
  CHECK(function_of(handlers[0]["prepare"]["function"]) == "take_a");
  CHECK(handlers[0]["prepare"]["nanoseconds"] > 0);
  CHECK(symbols(handlers[0]["prepare"]["taken"]) == std::vector<std::string>{"lock_a"});
  CHECK(symbols(handlers[0]["parent"]["released"]) == std::vector<std::string>{"lock_a"});
  CHECK(symbols(handlers[0]["child"]["released"]) == std::vector<std::string>{"lock_a"});
  CHECK(function_of(handlers[1]["prepare"]["function"]) == "read_rw");
  CHECK(symbols(handlers[1]["prepare"]["taken"]) == std::vector<std::string>{"lock_rw"});
  CHECK(handlers[1]["prepare"]["taken"][0]["mode"] == "read");
  CHECK(symbols(handlers[1]["child"]["released"]) == std::vector<std::string>{"lock_rw"});
}

TEST_CASE("the table of handlers is printed with --verbose only") {
  const std::vector<std::string> command{ATFORK_PROBE, "protects"};
  const Ended brief = run(forkscope_run({}, command));
  const Ended verbose = run(forkscope_run({"--verbose"}, command));
  CHECK(brief.errors.find("take_a") == std::string::npos);
  CHECK(verbose.errors.find("forkscope: at-fork handlers by registration") != std::string::npos);
  // Where the line breaks depends on how long the handlers took.
  CHECK(verbose.errors.find("takes") != std::string::npos);
  CHECK(verbose.errors.find("lock_a") != std::string::npos);
}

TEST_CASE("a fork that waits in a ring of locks is a deadlock of the parent") {
  const Observed seen = observe("ring");
  CHECK(seen.ended.exit() == 86);
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  INFO(finding.dump(1));
  CHECK(finding["kind"] == "atfork-handler");
  CHECK(finding["severity"] == "deadlock");
  CHECK(finding["evidence"] == "lock-cycle");
  CHECK(finding["lock"]["symbol"] == "lock_b");
  CHECK(finding["holder"]["name"] == "other");
  CHECK(function_of(finding["holder"]["acquired"][0]) == "take_b");
  CHECK(finding["handler"]["phase"] == "prepare");
  CHECK(function_of(finding["handler"]["function"]) == "take_b");
  CHECK(function_of(finding["waiter"]["stack"][0]) == "take_b");
  CHECK(seen.report["summary"]["forks"] == 0);
}

TEST_CASE("handlers registered twice wait for themselves") {
  const Observed seen = observe("twice");
  CHECK(seen.ended.exit() == 86);
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "atfork-handler");
  CHECK(finding["severity"] == "deadlock");
  CHECK(finding["handler"]["order"] == 1);
}

TEST_CASE("a handler that waits long and then goes on is a hazard") {
  const Observed seen = observe("long");
  CHECK(seen.ended.exit() == 0);
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "atfork-handler");
  CHECK(finding["severity"] == "hazard");
  CHECK(finding["outcome"] == "acquired later");
  CHECK(finding["holder"]["name"] == "other");
}

TEST_CASE("a child handler that waits for a lost thread's lock is named") {
  const Observed seen = observe("child");
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "atfork-handler");
  CHECK(finding["severity"] == "deadlock");
  CHECK(finding["evidence"] == "owner-word");
  CHECK(finding["handler"]["phase"] == "child");
  CHECK(function_of(finding["handler"]["function"]) == "take_a");
  CHECK(seen.report["forks"][0]["outcome"] == "deadlock");
}

TEST_CASE("an unlock that a child handler is refused is a stale owner, in that handler") {
  const Observed seen = observe("stale");
  CHECK(seen.ended.exit() == 0);
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "stale-owner");
  CHECK(finding["handler"]["phase"] == "child");
  CHECK(function_of(finding["handler"]["function"]) == "give_recursive");
}

TEST_CASE("an order that another thread inverts is found although the fork went well") {
  for (int i = 0; i < 5; ++i) {
    const Observed seen = observe("inverted");
    CHECK(seen.ended.exit() == 0);
    const json finding = seen.only();
    REQUIRE(finding.is_object());
    CHECK(finding["kind"] == "atfork-handler");
    CHECK(finding["severity"] == "latent");
    CHECK(finding["evidence"] == "lock-order");
    CHECK(finding["lock"]["symbol"] == "lock_b");
    CHECK(function_of(finding["holder"]["acquired"][0]) == "take_b");
  }
}

TEST_CASE("orders that cannot deadlock are left in peace") {
  for (const char* mode : {"same-order", "gated", "tried", "out-of-order"}) {
    INFO(mode);
    const Observed seen = observe(mode);
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.report["findings"].empty());
    CHECK(seen.report["forks"][0]["handlers"].size() >= 2);
  }
}

TEST_CASE("what prepare took and nobody gave back is a hazard, in parent and child") {
  for (const char* where : {"parent", "child"}) {
    const Observed seen = observe(std::string("left-") + where);
    CHECK(seen.ended.exit() == 0);
    const json finding = seen.only();
    REQUIRE(finding.is_object());
    CHECK(finding["severity"] == "hazard");
    CHECK(finding["evidence"] == "not-released");
    CHECK(finding["lock"]["symbol"] == "lock_a");
    const json& fork = seen.report["forks"][0];
    CHECK(finding["process"] == (where == std::string("child") ? fork["child"] : fork["pid"]));
    CHECK(symbols(fork["handlers"][0]["prepare"]["left"]) == std::vector<std::string>{"lock_a"});
  }
}

TEST_CASE("locks that a child handler sets up anew are not left") {
  const Observed seen = observe("initialised");
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.report["findings"].empty());
}

TEST_CASE("handlers registered after a fork beside threads are a note, after others not") {
  const json late = observe("late").only();
  REQUIRE(late.is_object());
  CHECK(late["severity"] == "note");
  CHECK(late["evidence"] == "registered-late");
  CHECK(observe("single").report["findings"].empty());
}

TEST_CASE("more handlers than there is room for are counted as not watched") {
  const Observed seen = observe("too-many");
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.report["summary"]["dropped_handlers"] == 300 - 256);
  CHECK(seen.ended.errors.find("44 registrations of at-fork handlers were not watched") !=
        std::string::npos);
}

TEST_CASE("a child handler that only the look from outside sees waiting is named") {
  const Observed seen = observe("futex");
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "lost-thread");
  CHECK(finding["severity"] == "deadlock");
  REQUIRE(finding["handler"].is_object());
  CHECK(finding["handler"]["phase"] == "child");
  CHECK(function_of(finding["handler"]["function"]) == "wait_unseen");
}

TEST_CASE("handlers registered inside a handler are a note") {
  const json finding = observe("inside").only();
  REQUIRE(finding.is_object());
  CHECK(finding["severity"] == "note");
  CHECK(finding["evidence"] == "registered-in-handler");
}

TEST_CASE("a fork around the handlers names those it passed by") {
  const Observed seen = observe("passed-by");
  const json finding = seen.only();
  REQUIRE(finding.is_object());
  CHECK(finding["kind"] == "fork-bypass");
  CHECK(finding["explanation"].get<std::string>().find("take_a") != std::string::npos);
  const json& handlers = seen.report["forks"][0]["handlers"];
  REQUIRE(handlers.size() == 1);
  CHECK(handlers[0]["passed_by"] == true);
  CHECK(handlers[0]["prepare"]["nanoseconds"].is_null());
}
