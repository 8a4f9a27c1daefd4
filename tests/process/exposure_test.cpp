// `forkscope exposure` against reality: the share of looks that see a lock held, and the share of
// real forks of the same process that orphan it, must be the same probability.
//
// Two shares of two samples are compared, of the sizes that independent samples would have: the
// difference over its standard error (pooled share) is standard normal if the probabilities are the
// same. The tests allow 4.8916 standard errors, which equal probabilities exceed once in 1,000,000
// runs; with the sizes here (about 700 to 1100 independent looks and forks) that is 0.11. Seven
// such comparisons are made, so that a false alarm comes once in some 140,000 runs of all. What the
// tests must notice, 0.2 in place of 0.6, is 12 standard errors beyond that. Nothing depends on how
// long anything takes: a slow machine makes fewer looks, and the tolerance wider.
#include <signal.h>
#include <stdlib.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "detector/verdict/hit_series.hpp"
#include "tests/process/cli_run.hpp"

using namespace cli_test;
using forkscope::HitSeries;
using forkscope::Proportion;
using nlohmann::json;

namespace {

constexpr double kOnceInAMillion = 4.8916;  // two-sided

struct Sample {
  double share = 0, size = 0;
};

double standard_errors_apart(const Sample& a, const Sample& b) {
  const double pooled = (a.share * a.size + b.share * b.size) / (a.size + b.size);
  return std::abs(a.share - b.share) / std::sqrt(pooled * (1 - pooled) * (1 / a.size + 1 / b.size));
}

struct Both {
  json exposure;
  Sample looks, forks;
};

/// Looks at a process that forks, while it does.
Both look_and_fork(const std::string& kind, const std::string& held, const std::string& free) {
  TemporaryFolder folder;
  const Ended ended = run({FORKSCOPE_EXE, "exposure", "--json=" + (folder / "json"), "--",
                           FORKSCOPE_EXPOSURE_PROBE, "forks", kind, held, free, "1000", "1500"});
  INFO(ended.errors);
  REQUIRE(ended.exit() == 0);
  REQUIRE(ended.output.size() == 1001);
  Both both;
  both.exposure = json::parse(read_file(folder / "json"));
  const json& any = both.exposure.at("any_with_semaphores");
  both.looks = {any.at("share").get<double>(), any.at("effective_looks").get<double>()};
  HitSeries forks;
  for (std::size_t i = 0; i < 1000; ++i)
    if (ended.output[i] == '1') forks.hit(i);
  const Proportion real = forkscope::proportion(forks, 1000);
  both.forks = {real.share, real.effective_looks};
  UNSCOPED_INFO(kind << ": looks " << both.looks.share << " of " << both.looks.size << ", forks "
                     << both.forks.share << " of " << both.forks.size);
  // Else the comparison would say nothing.
  REQUIRE(both.looks.size > 100);
  REQUIRE(both.forks.size > 100);
  return both;
}

void check_agreement(const std::string& kind, const std::string& held, const std::string& free) {
  const Both both = look_and_fork(kind, held, free);
  CHECK(standard_errors_apart(both.looks, both.forks) < kOnceInAMillion);
  REQUIRE(both.exposure.at("locks").size() == 1);
  CHECK(both.exposure.at("lost") == 0);
}

/// `exposure_probe always` under `preload`.
class Always {
 public:
  explicit Always(const std::string& preload)
      : started_({FORKSCOPE_EXPOSURE_PROBE, "always"}, [&] {
          if (!preload.empty()) setenv("LD_PRELOAD", preload.c_str(), 1);
          setenv("FORKSCOPE_OPTIONS", "log=none", 1);
        }) {
    if (started_.line() != "ready") throw std::runtime_error("the probe is not ready");
  }
  std::string pid() const { return std::to_string(started_.pid()); }
  Ended end() { return started_.end(); }

 private:
  Started started_;
};

}  // namespace

TEST_CASE("exposure: looks and real forks agree on a mutex") {
  check_agreement("mutex", "600", "1400");
}
TEST_CASE("exposure: looks and real forks agree on a read-write lock held for writing") {
  check_agreement("rwlock-write", "600", "1400");
}
TEST_CASE("exposure: looks and real forks agree on a read-write lock held for reading") {
  check_agreement("rwlock-read", "600", "1400");
}
TEST_CASE("exposure: looks and real forks agree on a spin lock") {
  check_agreement("spinlock", "600", "1400");
}
TEST_CASE("exposure: looks and real forks agree on a semaphore used as a lock") {
  check_agreement("semaphore", "600", "1400");
}
TEST_CASE("exposure: looks and real forks agree on a mutex held for less than a look takes") {
  check_agreement("mutex", "0.5", "1.5");
}
TEST_CASE("exposure: looks and real forks agree on a spin lock held for some microseconds") {
  check_agreement("spinlock", "5", "10");
}

TEST_CASE("exposure: the comparison notices a wrong share") {
  const Both seldom = look_and_fork("mutex", "400", "1600");
  const Both often = look_and_fork("mutex", "1200", "800");
  CHECK(standard_errors_apart(seldom.looks, often.forks) > kOnceInAMillion);
  CHECK(standard_errors_apart(often.looks, seldom.forks) > kOnceInAMillion);
  // Not because 1000 forks can never agree with anything.
  CHECK(standard_errors_apart(often.looks, often.forks) < kOnceInAMillion);
}

TEST_CASE("exposure: a lock that is always held is named with its holder and where it was taken") {
  Always program(FORKSCOPE_PRELOAD);
  const Ended ended =
      run({FORKSCOPE_EXE, "exposure", program.pid(), "--seconds=300ms", "--json=-"});
  INFO(ended.errors);
  REQUIRE(ended.exit() == 0);
  CHECK(ended.errors.empty());
  const json exposure = json::parse(ended.output);
  CHECK(exposure.at("schema") == "forkscope.exposure/1");
  CHECK(exposure.at("end") == "time");
  CHECK(exposure.at("process").at("threads") == 3);
  CHECK(exposure.at("any").at("share") == 1.0);
  // The other mutex lies in shared memory: a fork orphans nothing there.
  REQUIRE(exposure.at("locks").size() == 1);
  const json& lock = exposure.at("locks").front();
  CHECK(lock.at("evidence") == "owner-word");
  CHECK(lock.at("lock").at("type") == "mutex");
  CHECK(lock.at("lock").at("symbol").get<std::string>().find("always_held") != std::string::npos);
  CHECK(lock.at("probability").at("hits") == lock.at("probability").at("looks"));
  CHECK(lock.at("probability").at("low").get<double>() < 1);
  REQUIRE(lock.at("holders").size() == 1);
  CHECK(lock.at("holders").front().at("name") == "holder");
  const std::string start = lock.at("holders").front().at("start").at("function");
  CHECK(start.find("hold_always") != std::string::npos);
  REQUIRE(lock.at("sites").size() == 1);
  std::string stack;
  for (const json& frame : lock.at("sites").front().at("acquired"))
    if (frame.at("function").is_string()) stack += frame.at("function").get<std::string>() + "\n";
  CHECK(stack.find("take_always_held") < stack.find("hold_always"));
  CHECK(stack.find("hold_always") != std::string::npos);
  CHECK(lock.at("sites").front().at("complete") == true);
  CHECK(program.end().exit() == 0);
}

TEST_CASE("exposure: the text says the same") {
  Always program(FORKSCOPE_PRELOAD);
  const Ended ended = run({FORKSCOPE_EXE, "exposure", "--seconds=200ms", program.pid()});
  INFO(ended.output << ended.errors);
  REQUIRE(ended.exit() == 0);
  CHECK(ended.errors.empty());
  CHECK(ended.output.find("process " + program.pid() + " (exposure_probe), 3 threads") == 0);
  CHECK(ended.output.find("at least one lock: 100 % (") != std::string::npos);
  CHECK(ended.output.find("always_held") != std::string::npos);
  CHECK(ended.output.find("(holder)") != std::string::npos);
  CHECK(ended.output.find('\x1b') == std::string::npos);
}

TEST_CASE("exposure: a process without the library is refused in one sentence that helps") {
  Always program("");
  const Ended ended = run({FORKSCOPE_EXE, "exposure", program.pid()});
  CHECK(ended.exit() == 125);
  CHECK(ended.output.empty());
  CHECK(ended.one_sentence_with("forkscope exposure -- COMMAND"));
  CHECK(ended.one_sentence_with("LD_PRELOAD=" FORKSCOPE_PRELOAD));
}

TEST_CASE("exposure: the library of another version is refused") {
  Always program(FORKSCOPE_OTHER_TABLES);
  const Ended ended = run({FORKSCOPE_EXE, "exposure", program.pid()});
  CHECK(ended.exit() == 125);
  CHECK(ended.output.empty());
  CHECK(ended.one_sentence_with("another version of forkscope"));
}

TEST_CASE("exposure: a PID that nobody has is refused") {
  const Ended ended = run({FORKSCOPE_EXE, "exposure", "99999999"});
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("there is no process 99999999"));
}

TEST_CASE("exposure: without a PID and a command it says what it needs") {
  const Ended ended = run({FORKSCOPE_EXE, "exposure", "--seconds=1"});
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("PID"));
}

TEST_CASE("exposure: a command keeps its exit status, its streams and its arguments") {
  TemporaryFolder folder;
  const Ended ended =
      run({FORKSCOPE_EXE, "exposure", "--json=" + (folder / "json"), "--", "/bin/sh", "-c",
           "read line; echo \"$line $0 $1\"; exit 7", "--seconds", "two words"},
          "input\n");
  CHECK(ended.exit() == 7);
  CHECK(ended.output == "input --seconds two words\n");
  CHECK(json::parse(read_file(folder / "json")).at("locks").empty());
}

TEST_CASE("exposure: a command that is not found ends with 127") {
  CHECK(run({FORKSCOPE_EXE, "exposure", "--", "/nonexistent/program"}).exit() == 127);
}

TEST_CASE("exposure: standard output is the program's") {
  const Ended ended = run({FORKSCOPE_EXE, "exposure", "--json=-", "--", "/bin/true"});
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("--json=FILE"));
}

TEST_CASE("exposure: after an exec it is the new program that is looked at") {
  TemporaryFolder folder;
  const Ended ended =
      run({FORKSCOPE_EXE, "exposure", "--json=" + (folder / "json"), "--", "/bin/sh", "-c",
           std::string("exec ") + FORKSCOPE_EXPOSURE_PROBE + " forks mutex 600 1400 200 1500"});
  INFO(ended.errors);
  REQUIRE(ended.exit() == 0);
  const json exposure = json::parse(read_file(folder / "json"));
  CHECK(exposure.at("process").at("program") == FORKSCOPE_EXPOSURE_PROBE);
  REQUIRE(exposure.at("locks").size() == 1);
  CHECK(exposure.at("locks").front().at("holders").front().at("name") == "holder");
}

TEST_CASE("exposure: Ctrl-C ends the look with what was seen") {
  Always program(FORKSCOPE_PRELOAD);
  Started exposure({FORKSCOPE_EXE, "exposure", "--seconds=1h", "--json=-", program.pid()});
  // From when it waits for the signal, it does not die of it.
  const std::string status = "/proc/" + std::to_string(exposure.pid()) + "/status";
  const auto blocks_sigint = [&] {
    const std::string text = read_file(status);
    const std::size_t at = text.find("SigBlk:");
    return at != std::string::npos &&
           (std::stoull(text.substr(at + 7), nullptr, 16) >> (SIGINT - 1) & 1) != 0;
  };
  while (!blocks_sigint()) std::this_thread::yield();
  kill(exposure.pid(), SIGINT);
  const Ended ended = exposure.end();
  CHECK(ended.exit() == 0);
  CHECK(json::parse(ended.output).at("end") == "signal");
}

TEST_CASE("exposure: the end of the process ends the look") {
  Always program(FORKSCOPE_PRELOAD);
  Started exposure({FORKSCOPE_EXE, "exposure", "--seconds=1h", "--json=-", program.pid()});
  // Before the first look or after: an answer or a refusal, and never a hang.
  CHECK(program.end().exit() == 0);
  const Ended ended = exposure.end();
  if (ended.exit() == 0)
    CHECK(json::parse(ended.output).at("end") == "process");
  else
    CHECK(ended.exit() == 125);
}
