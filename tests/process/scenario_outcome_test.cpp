// The runner's pure half: from exit status, output and report to a verdict and a table.
#include <signal.h>

#include <catch2/catch.hpp>
#include <stdexcept>

#include "scenarios/runner/outcome.hpp"
#include "scenarios/runner/table.hpp"

using namespace forkscope::scenario;

namespace {

/// As wait(2) stores an exit status.
int exited(int status) { return status << 8; }

const Method kPromisesDeadlock{"fork", End::kDeadlock, {{"orphaned-lock", "deadlock"}}, ""};
const Method kPromisesNothing{"spawn", End::kCompletes, {}, ""};
const Method kPromisesHazard = completes("fork", {{"shared-descriptor", "hazard"}}, "");
const Method kPromisesSilence = silent("spawn", "");
const Method kPromisesDeath = dies("fork", "SIGABRT", "orphaned-lock", "");

std::string report_with(const std::string& findings) {
  return R"({"schema":"forkscope.report/1","findings":[)" + findings + "]}";
}
const std::string kOrphaned = R"({"kind":"orphaned-lock","severity":"deadlock","count":1})";
const std::string kLatent = R"({"kind":"orphaned-lock","severity":"latent","count":2})";
const std::string kShared = R"({"kind":"shared-descriptor","severity":"hazard","count":1})";
const std::string kHazard = R"({"kind":"unsafe-call","severity":"hazard","count":9})";

}  // namespace

TEST_CASE("exit statuses of a scenario become ends") {
  const auto end = [](int wait_status) {
    return read_outcome({false, wait_status, "", ""}, std::nullopt).end;
  };
  CHECK(end(exited(0)) == "completes");
  CHECK(end(exited(3)) == "deadlock");
  CHECK(end(exited(4)) == "worker died");
  CHECK(end(exited(1)) == "exit 1");
  CHECK(end(SIGSEGV) == "signal 11");
  CHECK(read_outcome({true, SIGKILL, "", ""}, std::nullopt).end == "no end");
}

TEST_CASE("what a worker died of is read from what the scenario says") {
  const auto end = [](const std::string& output) {
    return read_outcome({false, exited(4), output, ""}, std::nullopt).end;
  };
  CHECK(end("worker 1: started, pid 7\nworker 1: worker ended early: signal 6\n") ==
        end_text(kPromisesDeath));
  CHECK(end("worker 1: worker ended early: exit 127\n") == "dies exit 127");
  CHECK(end("worker 1: worker ended early: signal 63\n") == "dies signal 63");  // has no name
}

TEST_CASE("another death than the promised one differs") {
  const auto difference_of = [](const std::string& output) {
    return difference(read_outcome({false, exited(4), output, ""}, std::nullopt), kPromisesDeath,
                      How::kBare);
  };
  CHECK(difference_of("worker 1: worker ended early: signal 6\n").empty());
  CHECK(difference_of("worker 1: worker ended early: signal 11\n") ==
        "end is 'dies SIGSEGV', should be 'dies SIGABRT'");
}

TEST_CASE("timing lines are read per worker, other lines are not") {
  const Outcome outcome = read_outcome({false, 0,
                                        "worker 1: started, pid 7\n"
                                        "timing ready_us=250\ntiming done_us=1500\n"
                                        "not timing ready_us=9\n"
                                        "timing ready_us=750\n",
                                        ""},
                                       std::nullopt);
  CHECK(outcome.ready_ms == std::vector<double>{0.25, 0.75});
  CHECK(outcome.done_ms == std::vector<double>{1.5});
}

TEST_CASE("a bare run is compared by its end alone") {
  const Outcome hung = read_outcome({false, exited(3), "", ""}, std::nullopt);
  CHECK(difference(hung, kPromisesDeadlock, How::kBare).empty());
  CHECK(difference(hung, kPromisesNothing, How::kBare) ==
        "end is 'deadlock', should be 'completes'");
}

TEST_CASE("under the shim the set of deadlock and latent kinds must be the promised one") {
  const auto compared = [](int status, const std::string& findings, const Method& promised) {
    return difference(read_outcome({false, exited(status), "", ""}, report_with(findings)),
                      promised, How::kShim);
  };
  CHECK(compared(3, kOrphaned, kPromisesDeadlock).empty());
  CHECK(compared(3, kOrphaned + "," + kOrphaned, kPromisesDeadlock).empty());
  CHECK(compared(3, kOrphaned + "," + kHazard, kPromisesDeadlock).empty());
  CHECK(compared(0, kHazard, kPromisesNothing).empty());
  CHECK(compared(3, "", kPromisesDeadlock) == "findings are 'none', should be 'orphaned-lock'");
  CHECK(compared(0, kLatent, kPromisesNothing) ==
        "findings are 'latent orphaned-lock', should be 'none'");
  CHECK(compared(0, "", kPromisesDeadlock) ==
        "end is 'completes', should be 'deadlock'; findings are 'none', should be 'orphaned-lock'");
}

TEST_CASE("a promised hazard or note must be there, another may be") {
  const auto compared = [](const std::string& findings) {
    return difference(read_outcome({false, 0, "", ""}, report_with(findings)), kPromisesHazard,
                      How::kShim);
  };
  CHECK(compared(kShared).empty());
  CHECK(compared(kShared + "," + kHazard).empty());
  CHECK(compared(kHazard) == "findings are 'none', should be 'hazard shared-descriptor'");
  CHECK(compared(kShared + "," + kLatent) ==
        "findings are 'latent orphaned-lock, hazard shared-descriptor', should be "
        "'hazard shared-descriptor'");
}

TEST_CASE("about a silent method nothing may be found at all") {
  const auto compared = [](const std::string& findings) {
    return difference(read_outcome({false, 0, "", ""}, report_with(findings)), kPromisesSilence,
                      How::kShim);
  };
  CHECK(compared("").empty());
  CHECK(compared(kHazard) == "findings are 'hazard unsafe-call', should be 'none'");
}

TEST_CASE("a report that is none is refused") {
  const Result result{false, 0, "", ""};
  CHECK_THROWS_AS(read_outcome(result, "no JSON"), std::runtime_error);
  CHECK_THROWS_AS(read_outcome(result, R"({"schema":"other/1","findings":[]})"),
                  std::runtime_error);
  CHECK_THROWS_AS(read_outcome(result, report_with(R"({"severity":"latent"})")),
                  std::runtime_error);
}

TEST_CASE("the median is the middle value, or the mean of the two middle ones") {
  CHECK_FALSE(median({}).has_value());
  CHECK(median({3, 1, 2}) == 2.0);
  CHECK(median({4, 1, 3, 2}) == 2.5);
}

TEST_CASE("the table shows one run plainly, several as counts, and each difference") {
  Case once{"parquet-lock", kPromisesDeadlock, How::kShim, {}};
  CHECK_FALSE(once.agrees());
  once.outcomes = {{"deadlock", {0.25}, {}, {{{{"orphaned-lock", "deadlock"}, 1}}}}};
  Case often{"parquet-lock", kPromisesNothing, How::kBare, {}};
  often.outcomes = {{"completes", {1}, {2}, {}}, {"deadlock", {3}, {}, {}}};
  CHECK(once.agrees());
  CHECK_FALSE(often.agrees());
  CHECK(cases_text({once, often}) ==
        "scenario      method  how   expected                 seen                         "
        "ready (ms)  done (ms)  verdict\n"
        "parquet-lock  fork    shim  deadlock: orphaned-lock  deadlock: orphaned-lock      "
        "0.25        -          ok\n"
        "parquet-lock  spawn   bare  completes                completes 1/2; deadlock 1/2  "
        "2.00        2.00       DIFFERS\n"
        "parquet-lock spawn bare, run 2: end is 'deadlock', should be 'completes'\n");
}
