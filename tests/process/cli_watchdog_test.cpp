// What `forkscope run` finds by looking from outside where its library cannot judge, and that it
// keeps quiet where nothing is wrong. watch_probe says what each of its modes does.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "detector/verdict/report.hpp"
#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

std::vector<std::string> watched(std::vector<std::string> mode) {
  mode.insert(mode.begin(), FORKSCOPE_WATCH_PROBE);
  return mode;
}

/// The report of a run that ends by itself, because its children are killed or well.
nlohmann::json report_of(std::vector<std::string> options, const std::vector<std::string>& command,
                         int exit) {
  TemporaryFolder folder;
  options.push_back("--json=" + (folder / "report"));
  const Ended ended = run(forkscope_run(options, command));
  INFO(ended.errors);
  CHECK(ended.exit() == exit);
  return nlohmann::json::parse(read_file(folder / "report"));
}

void check_only_deadlock(const nlohmann::json& report, const std::string& kind) {
  REQUIRE(report.at("findings").size() == 1);
  const auto& finding = report.at("findings").front();
  CHECK(finding.at("kind") == kind);
  CHECK(finding.at("severity") == "deadlock");
  CHECK(finding.at("certainty") == "proven");
  CHECK(finding.at("evidence") == "nobody-left");
  CHECK(finding.at("outcome") == "killed");
  CHECK_FALSE(finding.at("lost").empty());
  CHECK_FALSE(finding.at("waiter").at("stack").empty());
  CHECK_FALSE(finding.at("fork_stack").empty());
  CHECK(finding.at("process") != report.at("forks").front().at("pid"));
  CHECK(report.at("forks").back().at("outcome") == "deadlock");
  CHECK(report.at("summary").at("deadlocked") == 1);
}

}  // namespace

TEST_CASE("watchdog: a child that waits for a lost worker by its own system call is a deadlock") {
  const auto report = report_of({"--on-deadlock=kill"}, watched({"lost-worker"}), 10);
  check_only_deadlock(report, "lost-thread");
  const auto& lock = report.at("findings").front().at("lock");
  CHECK(lock.at("symbol").get<std::string>().find("work_done") != std::string::npos);
  CHECK(report.at("findings").front().at("lost").front().at("name") == "pool-worker");
}

TEST_CASE("watchdog: a child that meets a taken lock of libc is a deadlock") {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run(
      {"--verbose", "--on-deadlock=kill", "--json=" + (folder / "report")},
      watched({"libc-lock"})));
  if (ended.exit() == 12) {
    WARN("no child met the lock of localtime_r taken: nothing to see");
    return;
  }
  CHECK(ended.exit() == 10);
  const auto report = nlohmann::json::parse(read_file(folder / "report"));
  check_only_deadlock(report, "libc-lock");
  CHECK(ended.errors.find("__lll_lock_wait_private") != std::string::npos);
}

TEST_CASE(
    "watchdog: OpenMP before and after a fork is a deadlock, OpenMP in the child only is not") {
  const std::string probe_path = FORKSCOPE_OPENMP_PROBE;
  if (probe_path.empty()) {
    WARN("there is no compiler with OpenMP");
    return;
  }
  check_only_deadlock(report_of({"--on-deadlock=kill"}, {probe_path}, 10), "lost-thread");
  CHECK(report_of({"--on-deadlock=kill"}, {probe_path, "late"}, 0).at("findings").empty());
}

TEST_CASE("watchdog: beside a thread that does something else, a lost worker is probable") {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run(
      {"--timeout=6", "--on-deadlock=kill", "--unsafe-calls=off", "--json=" + (folder / "report")},
      watched({"lost-worker-beside-other"})));
  CHECK(ended.exit() == 124);  // what is not proven is not killed
  const auto report = nlohmann::json::parse(read_file(folder / "report"));
  REQUIRE(report.at("findings").size() == 1);
  const auto& finding = report.at("findings").front();
  CHECK(finding.at("kind") == "lost-thread");
  CHECK(finding.at("severity") == "hazard");
  CHECK(finding.at("certainty") == "probable");
  CHECK(finding.at("evidence") == "role-gone");
  const std::size_t said = ended.errors.find("PROBABLE DEADLOCK");
  REQUIRE(said != std::string::npos);
  CHECK(said < ended.errors.find("--timeout is over"));
  CHECK(ended.errors.find("PROBABLE DEADLOCK", said + 1) == std::string::npos);
}

TEST_CASE(
    "watchdog: a child that parks on a word nobody else knows is not proven, and not killed") {
  const auto report = report_of({"--timeout=2", "--on-deadlock=kill"}, watched({"parks"}), 124);
  for (const auto& finding : report.at("findings")) CHECK(finding.at("certainty") != "proven");
  CHECK(report.at("summary").at("deadlocked") == 0);
}

TEST_CASE("watchdog: a child that made its pool anew and waits for it is well") {
  Started started(forkscope_run({}, watched({"new-pool"})));
  const pid_t child = std::stoi(started.line());
  // It is asleep in the wait that would be a deadlock, had it not made its pool: give the watchdog
  // the time of several rounds, measured by another run that does find one.
  CHECK(report_of({"--on-deadlock=kill"}, watched({"lost-worker"}), 10).at("findings").size() == 1);
  CHECK(process_lives(child));
  const Ended ended = started.end();
  CHECK(ended.exit() == 0);
  CHECK(ended.errors.find("DEADLOCK") == std::string::npos);
}

TEST_CASE("watchdog: --on-deadlock=abort and exit:N end the child from outside, break leaves it") {
  const auto aborted = report_of({"--on-deadlock=abort"}, watched({"lost-worker"}), 11);
  CHECK(aborted.at("findings").at(0).at("outcome") == "aborted");
  const auto killed = report_of({"--on-deadlock=exit:3"}, watched({"lost-worker"}), 10);
  CHECK(killed.at("findings").at(0).at("outcome") == "killed");
  const auto left =
      report_of({"--on-deadlock=break", "--timeout=2"}, watched({"lost-worker"}), 124);
  CHECK(left.at("findings").at(0).at("outcome") == "blocked");
}

TEST_CASE("watchdog: --watch=off looks at nothing, --fail-on counts what was found from outside") {
  CHECK(report_of({"--watch=off", "--timeout=1"}, watched({"lost-worker"}), 124)
            .at("findings")
            .empty());
  report_of({"--fail-on=deadlock", "--on-deadlock=kill"}, watched({"lost-worker"}), 86);
  const Ended refused = run(forkscope_run({"--watch=often"}, watched({"lost-worker"})));
  CHECK(refused.exit() == 125);
  CHECK(refused.errors.find("--watch") != std::string::npos);
}

TEST_CASE("watchdog: findings from outside are told again by forkscope report") {
  TemporaryFolder folder;
  const std::string session = folder / "session", first = folder / "report";
  run(forkscope_run({"--quiet", "--on-deadlock=kill", "--session=" + session, "--json=" + first},
                    watched({"lost-worker"})));
  const Ended again = run({FORKSCOPE_EXE, "report", "--json", "-", session});
  CHECK(again.exit() == 0);
  CHECK(again.output == read_file(first));
  CHECK(run({FORKSCOPE_EXE, "report", session}).output.find("DEADLOCK") != std::string::npos);
}

TEST_CASE("watchdog: what the library finds itself is one finding, with the view from outside") {
  const auto report = report_of({"--timeout=3"}, probe({"deadlock"}), 124);
  REQUIRE(report.at("findings").size() == 1);
  const auto& finding = report.at("findings").front();
  CHECK(finding.at("evidence") == "owner-word");
  CHECK_FALSE(finding.at("holder").at("acquired").empty());  // the library's
  CHECK_FALSE(finding.at("holder").at("now").empty());       // the watchdog's
}
