// What the report makes of forkscope/annotate.h: names, locks of the program's own, declared forks.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

json report_of(const std::string& mode, std::vector<std::string> options = {}, int status = 0) {
  TemporaryFolder folder;
  options.insert(options.end(),
                 {"--quiet", "--on-deadlock=kill", "--json=" + (folder / "report")});
  const Ended ended = run(forkscope_run(options, {ANNOTATE_PROBE, mode}));
  CHECK(ended.exit() == status);
  return json::parse(read_file(folder / "report"));
}

json only_finding(const json& report) {
  REQUIRE(report.at("findings").size() == 1);
  return report.at("findings")[0];
}

}  // namespace

TEST_CASE("a lock on the heap has the name the program gave it") {
  const json named = only_finding(report_of("heap-named", {}, 10));
  CHECK(named.at("lock").at("name") == "orders table");
  CHECK(named.at("lock").at("type") == "mutex");
  CHECK(named.at("verdict").get<std::string>().find("mutex \"orders table\"") != std::string::npos);
  const json nameless = only_finding(report_of("heap", {}, 10));
  CHECK(nameless.at("lock").at("name").is_null());
  CHECK(nameless.at("fingerprint") != named.at("fingerprint"));
  // The same on every run, wherever the heap lies.
  CHECK(only_finding(report_of("heap", {}, 10)).at("fingerprint") == nameless.at("fingerprint"));
  CHECK(only_finding(report_of("heap-named", {}, 10)).at("fingerprint") == named.at("fingerprint"));
}

TEST_CASE("a child deadlocks at a lock of the program's own, with both stacks") {
  const json finding = only_finding(report_of("own", {}, 10));
  CHECK(finding.at("kind") == "orphaned-lock");
  CHECK(finding.at("severity") == "deadlock");
  CHECK(finding.at("evidence") == "holder-table");
  CHECK(finding.at("lock").at("type") == "custom lock");
  CHECK(finding.at("lock").at("symbol") == "bytes[3]");
  CHECK(finding.at("lock").at("name") == "own lock");
  const json acquired = finding.at("holder").at("acquired");
  REQUIRE(acquired.size() >= 2);
  CHECK(acquired[0].at("function") == "take");
  CHECK(acquired[1].at("function") == "hold_own");
  CHECK(finding.at("waiter").at("stack")[0].at("function") == "take");
}

TEST_CASE("orphaned and not touched it is a hazard") {
  const json report = report_of("own-untouched");
  CHECK(only_finding(report).at("severity") == "hazard");
  CHECK(report.at("forks")[0].at("held")[0].at("lock").at("name") == "own lock");
}

TEST_CASE("a fork that is declared safe has notes, with the reason") {
  const json report = report_of("own-declared", {"--fail-on=deadlock,latent,hazard"});
  const json finding = only_finding(report);
  CHECK(finding.at("severity") == "note");
  CHECK(finding.at("declared_safe") == "the child only exits");
  CHECK(report.at("forks")[0].at("declared_safe") == "the child only exits");
  CHECK(report.at("summary").at("declared_safe") == 1);
}

TEST_CASE("declared or not, a deadlock is one") {
  const json finding = only_finding(report_of("own-declared-wrongly", {"--fail-on=deadlock"}, 86));
  CHECK(finding.at("severity") == "deadlock");
  CHECK(finding.at("declared_safe") == "the child only exits");
}

TEST_CASE("a declaration ends where the program says so") {
  const json report = report_of("declared-once");
  REQUIRE(report.at("findings").size() == 2);
  CHECK(report.at("findings")[0].at("severity") == "hazard");
  CHECK(report.at("findings")[0].at("declared_safe").is_null());
  CHECK(report.at("findings")[1].at("severity") == "note");
}
