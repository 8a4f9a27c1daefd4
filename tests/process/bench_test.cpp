// `forkscope bench` and its measuring programs, as processes. Nothing here depends on how long
// anything takes.
#include <sys/resource.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

Ended bench(std::vector<std::string> options, const std::function<void()>& prepare = {}) {
  options.insert(options.begin(), {FORKSCOPE_EXE, "bench"});
  return run(options, {}, prepare);
}

/// The clocks of one case, measured by the program itself, each with the number of its samples.
std::map<std::string, std::size_t> clocks_of(const std::string& name) {
  TemporaryFolder folder;
  const Ended ended = run({FORKSCOPE_COST_BENCH, name, "--samples=" + (folder / "samples"),
                           "--budget=0.01", "--most=5"});
  INFO(name << ": " << ended.errors);
  REQUIRE(ended.exit() == 0);
  std::map<std::string, std::size_t> clocks;
  std::istringstream lines(read_file(folder / "samples"));
  std::string line;
  while (std::getline(lines, line) && line != "end") {
    std::istringstream words(line);
    std::string clock;
    words >> clock;
    for (long long value; words >> value; ++clocks[clock]) CHECK(value >= 0);
  }
  CHECK(line == "end");
  return clocks;
}

std::set<std::string> names_of(const std::map<std::string, std::size_t>& clocks) {
  std::set<std::string> names;
  for (const auto& [name, count] : clocks) names.insert(name);
  return names;
}

}  // namespace

TEST_CASE("bench: each method that copies tells when the child ran and when it was ready") {
  const std::set<std::string> wanted{"call", "first", "ready", "reap"};
  for (const char* method :
       {"fork", "_Fork", "clone3", "vfork", "clone-vm", "thread", "forkserver", "zygote"}) {
    CAPTURE(method);
    CHECK(names_of(clocks_of(method)) == wanted);
  }
}

TEST_CASE("bench: each method that executes tells when the child was in main()") {
  for (const char* method :
       {"fork-exec", "vfork-exec", "posix_spawn", "clone-vm-exec", "clone3-vm-exec", "popen"}) {
    CAPTURE(method);
    CHECK(names_of(clocks_of(method)) == std::set<std::string>{"call", "main", "ready", "reap"});
  }
  CHECK(names_of(clocks_of("system")) == std::set<std::string>{"main", "ready", "reap"});
}

TEST_CASE("bench: parents of every kind are built") {
  for (const char* name :
       {"fork/memory=clean/resident=4MiB", "fork/memory=fragmented/resident=4MiB",
        "fork/memory=file/resident=4MiB", "fork/memory=shared/resident=4MiB",
        "fork/memory=dontfork/resident=4MiB", "fork/threads=20", "fork/descriptors=50",
        "fork/mappings=100", "fork/handlers=10", "posix_spawn/environment=64KiB",
        "fork-exec/arguments=128KiB", "posix_spawn/concurrency=3"}) {
    CAPTURE(name);
    CHECK(clocks_of(name).count("reap") == 1);
  }
  CHECK(clocks_of("fork/stall=1").at("stall") == clocks_of("fork").at("reap"));
}

TEST_CASE("bench: written pages are counted as faults of both sides") {
  TemporaryFolder folder;
  const Ended ended = run({FORKSCOPE_COST_BENCH, "fork/first=parent/resident=1MiB/written=100%",
                           "--samples=" + (folder / "samples"), "--budget=0.01", "--most=5"});
  REQUIRE(ended.exit() == 0);
  std::istringstream lines(read_file(folder / "samples"));
  int found = 0;
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string clock;
    int faults = 0;
    words >> clock >> faults;
    if (clock != "child_faults" && clock != "parent_faults") continue;
    CAPTURE(clock);
    CHECK(faults >= 256);  // 1 MiB in pages of 4 KiB
    ++found;
  }
  CHECK(found == 2);
}

TEST_CASE("bench: a pool does its tasks with each method") {
  for (const char* method : {"fork", "posix_spawn", "forkserver", "zygote"}) {
    CAPTURE(method);
    CHECK(clocks_of(std::string(method) + "/tasks=6/task=1ms/workers=2").at("batch") >= 1);
  }
}

TEST_CASE("bench: what cannot be measured says so and has a status of its own") {
  const Ended many = run({FORKSCOPE_COST_BENCH, "fork/mappings=100000000"});
  CHECK(many.exit() == 77);
  CHECK(many.errors.find("max_map_count") != std::string::npos);
  CHECK(run({FORKSCOPE_COST_BENCH, "spork"}).exit() == 2);
  CHECK(run({FORKSCOPE_COST_BENCH}).exit() == 2);
}

TEST_CASE("bench: a small run writes JSON, page and text") {
  TemporaryFolder folder;
  const Ended ended = bench({"--quick", "--filter", "^(fork|posix_spawn|thread|python-spawn)$",
                             "--json", folder / "r.json", "--html", folder / "r.html"});
  INFO(ended.errors);
  REQUIRE(ended.exit() == 0);
  CHECK(ended.errors == "");  // no progress but on a terminal
  CHECK(ended.output.find("posix_spawn") != std::string::npos);
  const json report = json::parse(read_file(folder / "r.json"));
  CHECK(report.at("schema") == "forkscope.bench/1");
  CHECK(report.at("machine").contains("kernel"));
  REQUIRE(report.at("cases").size() + report.at("skipped").size() == 4);
  for (const json& one : report.at("cases")) {
    CAPTURE(one.at("name").get<std::string>());
    const json& reap = one.at("clocks").at("reap");
    CHECK(reap.at("count").get<int>() > 0);
    CHECK(reap.at("low") <= reap.at("median"));
    CHECK(reap.at("median") <= reap.at("high"));
    CHECK(reap.at("min") > 0);
    CHECK(one.at("command").get<std::string>().find("--filter '^") != std::string::npos);
  }
  CHECK(read_file(folder / "r.html").starts_with("<!DOCTYPE html>"));

  const Ended again = bench({"--from", folder / "r.json", "--html", folder / "again.html"});
  CHECK(again.exit() == 0);
  CHECK(read_file(folder / "again.html") == read_file(folder / "r.html"));
  const Ended same = bench({"--compare", folder / "r.json", folder / "r.json"});
  CHECK(same.exit() == 0);
  CHECK(same.output.find(" 0 changed beyond noise") != std::string::npos);
}

TEST_CASE("bench: the list has the cases, and a word for those that do not fit") {
  const Ended all = bench({"--list"});
  REQUIRE(all.exit() == 0);
  for (const char* name : {"\nfork/resident=256MiB\n", "\npopen\n", "\nprice/library\n"})
    CHECK(all.output.find(name) != std::string::npos);
  const Ended few = bench({"--list", "--filter", "^fork/descriptors=10000$"}, [] {
    const rlimit limit{512, 512};
    setrlimit(RLIMIT_NOFILE, &limit);
  });
  CHECK(few.exit() == 0);
  CHECK(few.output.find("RLIMIT_NOFILE leaves 512") != std::string::npos);
}

TEST_CASE("bench: a run of which nothing fits fails with the reason") {
  const Ended ended = bench({"--filter", "^fork/descriptors=10000$"}, [] {
    const rlimit limit{512, 512};
    setrlimit(RLIMIT_NOFILE, &limit);
  });
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with("RLIMIT_NOFILE"));
}

TEST_CASE("bench: wrong usage and files are told before anything is measured") {
  TemporaryFolder folder;
  std::ofstream(folder / "other.json") << "{}";
  const auto refused = [](std::vector<std::string> options, const std::string& part) {
    const Ended ended = bench(std::move(options));
    CAPTURE(part, ended.errors);
    CHECK(ended.exit() == 125);
    CHECK(ended.one_sentence_with(part));
  };
  refused({"--quick", "--full"}, "not both");
  refused({"--filter", "("}, "no regular expression");
  refused({"--filter", "no such case"}, "--list");
  refused({"--json", folder / "missing" + std::string("/r.json")}, "cannot write");
  refused({"--html", folder.path()}, "cannot write");
  refused({"--memory", "much"}, "--memory");
  refused({"--memory", "1KiB"}, "1MiB is the least");
  refused({"--python", "/bin/true"}, "no Python");
  refused({"--python", folder / "nowhere"}, "nowhere");
  refused({"--compare", folder / "other.json", folder / "other.json"}, "forkscope.bench/1");
  refused({"--compare", folder / "missing", folder / "missing"}, "cannot read");
  refused({"--compare", folder / "other.json"}, "--compare");
  refused({"--from", folder / "other.json", "--list"}, "one of");
}

TEST_CASE("bench: the pair of calls and the memory of a thread are numbers") {
  for (const auto& arguments : {std::vector<std::string>{FORKSCOPE_COST_PAIR, "1000"},
                                std::vector<std::string>{FORKSCOPE_COST_PAIR, "threads", "20"}}) {
    const Ended ended = run(arguments);
    CHECK(ended.exit() == 0);
    CHECK(std::stod(ended.output) > 0);
  }
  CHECK(run({FORKSCOPE_COST_PAIR, "0"}).exit() == 2);
}
