// A child that spins for a lost worker, or waits for one in rounds, and those that only look so.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

TEST_CASE("watchdog: children that spin for a lost worker are probably deadlocked") {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run({"--timeout=15", "--json=" + (folder / "report")},
                                        {FORKSCOPE_WATCH_PROBE, "spin"}));
  INFO(ended.errors);
  CHECK(ended.exit() == 124);
  const auto report = nlohmann::json::parse(read_file(folder / "report"));
  std::set<std::string> loops;
  for (const auto& finding : report.at("findings")) {
    CHECK(finding.at("kind") == "lost-thread");
    CHECK(finding.at("severity") == "hazard");
    CHECK(finding.at("certainty") == "probable");
    CHECK(finding.at("evidence") == "spins");
    CHECK(finding.at("lost").size() == 1);
    for (const auto& frame : finding.at("waiter").at("stack")) {
      const auto function = frame.at("function").get<std::string>();
      if (function.starts_with("work_pool::")) loops.insert(function);
    }
  }
  CHECK(loops == std::set<std::string>{"work_pool::spin_for_work()", "work_pool::spin_at_entry()"});
  CHECK(ended.errors.find("PROBABLE DEADLOCK") != std::string::npos);
}

TEST_CASE("watchdog: a child that computes without a pause is let alone") {
  TemporaryFolder folder;
  const Ended ended = run(
      forkscope_run({"--json=" + (folder / "report")}, {FORKSCOPE_WATCH_PROBE, "computes", "9"}));
  INFO(ended.errors);
  CHECK(ended.exit() == 0);
  CHECK(nlohmann::json::parse(read_file(folder / "report")).at("findings").empty());
}

TEST_CASE("watchdog: a child that waits for a lost worker in rounds is probably deadlocked") {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run({"--timeout=20", "--json=" + (folder / "report")},
                                        {FORKSCOPE_WATCH_PROBE, "rounds"}));
  INFO(ended.errors);
  CHECK(ended.exit() == 124);
  const auto report = nlohmann::json::parse(read_file(folder / "report"));
  REQUIRE(report.at("findings").size() == 1);
  const auto& finding = report.at("findings").at(0);
  CHECK(finding.at("kind") == "lost-thread");
  CHECK(finding.at("certainty") == "probable");
  CHECK(finding.at("evidence") == "rounds");
  CHECK(finding.at("outcome") == "blocked");
}

TEST_CASE("watchdog: a child that feeds its own rounds is let alone") {
  TemporaryFolder folder;
  const Ended ended = run(
      forkscope_run({"--json=" + (folder / "report")}, {FORKSCOPE_WATCH_PROBE, "fed-rounds", "9"}));
  INFO(ended.errors);
  CHECK(ended.exit() == 0);
  const nlohmann::json report = nlohmann::json::parse(read_file(folder / "report"));
  for (const auto& finding : report.at("findings")) CHECK(finding.at("severity") == "note");
}
