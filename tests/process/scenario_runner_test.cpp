// The runner with real processes: the catalogue of this build, bounded runs, and campaigns in which
// a shell script stands in for `forkscope run` and writes the report that the test wants read.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "scenarios/runner/campaign.hpp"
#include "scenarios/runner/catalogue.hpp"
#include "scenarios/runner/processes.hpp"

using namespace forkscope::scenario;
namespace fs = std::filesystem;

namespace {

constexpr std::chrono::seconds kGenerous{60};

Result run_shell(const std::string& script, std::chrono::milliseconds limit = kGenerous) {
  Result taken;
  run_processes(
      1, 1,
      [&](std::size_t) {
        return Command{{"/bin/sh", "-c", script}, {}, limit};
      },
      [&](std::size_t, const Result& result) { taken = result; });
  return taken;
}

bool exists(const std::string& pid) { return kill(std::stoi(pid), 0) == 0 || errno != ESRCH; }

/// A folder with a script that takes the arguments of `forkscope run`, runs the program, and writes
/// a report with the given findings.
class StandIn {
 public:
  explicit StandIn(const std::string& findings, const std::string& before = "") {
    std::string path = (fs::temp_directory_path() / "standin.XXXXXX").string();
    if (mkdtemp(path.data()) == nullptr) throw std::runtime_error("mkdtemp");
    folder_ = path;
    std::ofstream(script()) << "#!/bin/sh\n"
                            << before
                            << "\n[ \"$1 $2 $3 $5 $7\" = 'run --quiet --json --session --' ]"
                            << " || exit 125\n"
                            << "report=$4; shift 7; \"$@\"; status=$?\n"
                            << "echo '{\"schema\":\"forkscope.report/1\",\"findings\":[" << findings
                            << "]}' >\"$report\"; exit $status\n";
    fs::permissions(script(), fs::perms::owner_all);
  }
  ~StandIn() { fs::remove_all(folder_); }
  fs::path script() const { return folder_ / "forkscope"; }

 private:
  fs::path folder_;
};

std::vector<Case> run_fork_of_parquet_lock(const StandIn& stand_in) {
  Campaign campaign;
  campaign.forkscope_exe = stand_in.script();
  campaign.scenarios = {"parquet-lock"};
  campaign.methods = {"fork"};
  campaign.how = {How::kBare, How::kShim};
  campaign.patience = std::chrono::milliseconds(300);
  campaign.repeat = 2;
  campaign.jobs = 2;
  return run_campaign(campaign, load_catalogue(FORKSCOPE_SCENARIOS),
                      [](std::size_t, std::size_t, const std::string&) {});
}

}  // namespace

TEST_CASE(
    "scenarios are found relative to the command, unless the environment names their folder") {
  unsetenv("FORKSCOPE_SCENARIO_DIR");
  CHECK(scenario_directory("/opt/x/bin/forkscope") == "/opt/x/lib/forkscope/scenarios");
  setenv("FORKSCOPE_SCENARIO_DIR", "/elsewhere", 1);
  CHECK(scenario_directory("/opt/x/bin/forkscope") == "/elsewhere");
  unsetenv("FORKSCOPE_SCENARIO_DIR");
  CHECK_THROWS_AS(load_catalogue("/nonexistent"), std::runtime_error);
}

TEST_CASE("output, errors and status of a program are captured") {
  const Result result = run_shell("echo out; echo err >&2; exit 7");
  CHECK(result.output == "out\n");
  CHECK(result.errors == "err\n");
  CHECK(WEXITSTATUS(result.wait_status) == 7);
  CHECK_FALSE(result.timed_out);
}

TEST_CASE("a program that does not end is killed with its group at the limit") {
  const Result result =
      run_shell("sleep 1000 & echo $!; sleep 1000", std::chrono::milliseconds(500));
  CHECK(result.timed_out);
  CHECK(WTERMSIG(result.wait_status) == SIGKILL);
  CHECK_FALSE(exists(result.output));
}

TEST_CASE("what escapes from the group does not survive either") {
  const Result result = run_shell("setsid sh -c 'echo $$; exec sleep 1000 >/dev/null 2>&1' & wait",
                                  std::chrono::milliseconds(500));
  REQUIRE_FALSE(result.output.empty());
  CHECK_FALSE(exists(result.output));
}

TEST_CASE("as many programs run at a time as asked for") {
  // Each of the two waits until the other has opened the fifo: one at a time would not end.
  std::string path = (fs::temp_directory_path() / "jobs.XXXXXX").string();
  REQUIRE(mkdtemp(path.data()) != nullptr);
  REQUIRE(system(("mkfifo " + path + "/fifo").c_str()) == 0);
  int timed_out = 0;
  run_processes(
      2, 2,
      [&](std::size_t run) {
        return Command{{"/bin/sh", "-c", run ? ": >" + path + "/fifo" : ": <" + path + "/fifo"},
                       {},
                       kGenerous};
      },
      [&](std::size_t, const Result& result) { timed_out += result.timed_out; });
  fs::remove_all(path);
  CHECK(timed_out == 0);
}

TEST_CASE("a program that cannot be started is an error with its name") {
  CHECK_THROWS_WITH(run_processes(
                        1, 1,
                        [](std::size_t) {
                          return Command{{"/nonexistent/program"}, {}, kGenerous};
                        },
                        [](std::size_t, const Result&) {}),
                    Catch::Contains("/nonexistent/program"));
}

TEST_CASE("a campaign agrees when end and findings are the promised ones") {
  const StandIn stand_in(R"({"kind":"orphaned-lock","severity":"deadlock","count":1})");
  const std::vector<Case> cases = run_fork_of_parquet_lock(stand_in);
  REQUIRE(cases.size() == 2);
  for (const Case& each : cases) {
    CHECK(each.outcomes.size() == 2);
    CHECK(each.agrees());
  }
}

TEST_CASE("a campaign differs when the finding is missing") {
  const std::vector<Case> cases = run_fork_of_parquet_lock(StandIn(""));
  REQUIRE(cases.size() == 2);
  CHECK(cases[0].agrees());
  CHECK_FALSE(cases[1].agrees());
}

TEST_CASE("a campaign fails with forkscope's own words when forkscope fails") {
  CHECK_THROWS_WITH(
      run_fork_of_parquet_lock(StandIn("", "echo 'forkscope: no room' >&2; exit 125")),
      Catch::Contains("forkscope: no room"));
}

TEST_CASE("an unknown scenario or method is refused with the known ones") {
  const std::vector<Entry> catalogue = load_catalogue(FORKSCOPE_SCENARIOS);
  const auto nothing = [](std::size_t, std::size_t, const std::string&) {};
  Campaign campaign;
  campaign.scenarios = {"nonesuch"};
  CHECK_THROWS_WITH(run_campaign(campaign, catalogue, nothing), Catch::Contains("worker-pool"));
  campaign.scenarios = {"worker-pool"};
  campaign.methods = {"fork-without-read"};
  CHECK_THROWS_WITH(run_campaign(campaign, catalogue, nothing), Catch::Contains("fork-own-pool"));
}
