// A child that spins for a lost worker, and one that works as hard.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

TEST_CASE("watchdog: a child that spins for a lost worker is probably deadlocked") {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run({"--timeout=15", "--json=" + (folder / "report")},
                                        {FORKSCOPE_WATCH_PROBE, "spin"}));
  INFO(ended.errors);
  CHECK(ended.exit() == 124);
  const auto report = nlohmann::json::parse(read_file(folder / "report"));
  REQUIRE(report.at("findings").size() == 1);
  const auto& finding = report.at("findings").front();
  CHECK(finding.at("kind") == "lost-thread");
  CHECK(finding.at("severity") == "hazard");
  CHECK(finding.at("certainty") == "probable");
  CHECK(finding.at("evidence") == "spins");
  CHECK(finding.at("verdict").get<std::string>().find("spin_for_work") != std::string::npos);
  CHECK(finding.at("lost").size() == 1);
  CHECK_FALSE(finding.at("waiter").at("stack").empty());
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
