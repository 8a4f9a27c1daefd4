// What watching costs: processor time of forkscope over some seconds, as the kernel counts it.
#include <unistd.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <sstream>

#include "tests/process/cli_run.hpp"

using namespace cli_test;

namespace {

/// Nanoseconds on a processor, of all threads there are.
double cpu_seconds(pid_t pid) {
  double sum = 0;
  for (const auto& thread :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/task")) {
    std::istringstream text(read_file(thread.path() / "schedstat"));
    double nanoseconds = 0;
    text >> nanoseconds;
    sum += nanoseconds / 1e9;
  }
  return sum;
}

/// Share of one processor over `span`.
double cost_over(pid_t pid, std::chrono::seconds span) {
  const double before = cpu_seconds(pid);
  usleep(static_cast<useconds_t>(span.count()) *
         1'000'000);  // what is measured, not a synchronisation
  return (cpu_seconds(pid) - before) / static_cast<double>(span.count());
}

}  // namespace

TEST_CASE("watchdog: a hundred children that sleep cost less than one percent of a processor") {
  Started started(forkscope_run({"--quiet"}, {FORKSCOPE_WATCH_PROBE, "many-sleep", "100"}));
  REQUIRE(started.line() == "ready");
  CHECK(cost_over(started.pid(), std::chrono::seconds(6)) < 0.01);
  CHECK(started.end().exit() == 0);
}

TEST_CASE("watchdog: a hundred children that hang, once judged, cost less than one percent") {
  TemporaryFolder folder;
  const std::string session = folder / "session";
  Started started(forkscope_run({"--quiet", "--session=" + session},
                                {FORKSCOPE_WATCH_PROBE, "many-hang", "100"}));
  REQUIRE(started.line() == "ready");
  // Judged: the file has all of them.
  const auto judged = [&] {
    const std::string text = read_file(session + "/watched.json");
    int count = 0;
    for (std::size_t at = 0;
         (at = text.find("\"severity\": \"deadlock\"", at)) != std::string::npos; ++at)
      ++count;
    return count;
  };
  const auto limit = std::chrono::steady_clock::now() + std::chrono::seconds(20);
  while (judged() < 100 && std::chrono::steady_clock::now() < limit) usleep(50'000);
  REQUIRE(judged() == 100);
  CHECK(cost_over(started.pid(), std::chrono::seconds(6)) < 0.01);
  CHECK(started.end().exit() == 0);
}
