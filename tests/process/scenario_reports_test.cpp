// What the runner makes of its cases: which are run how, attached answers, JUnit, Markdown, what
// other detectors said, and the template of a new scenario.
#include <signal.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "scenarios/runner/compare.hpp"
#include "scenarios/runner/junit.hpp"
#include "scenarios/runner/markdown.hpp"
#include "scenarios/runner/new_scenario.hpp"
#include "scenarios/runner/outcome.hpp"

using namespace forkscope::scenario;
namespace fs = std::filesystem;

namespace {

const Method kHangs = hangs("fork", "orphaned-lock", "");
const Method kLucky = lucky("fork-lucky", "").as_timing_of("fork");
const Method kSilent = silent("spawn", "");

Outcome attached_with(const std::string& end, const FromOutside& answer) {
  Outcome outcome;
  outcome.end = end;
  outcome.attached = answer;
  return outcome;
}

Outcome ended(const std::string& end) {
  Outcome outcome;
  outcome.end = end;
  outcome.seconds = 0.5;
  return outcome;
}

Said said_of(const std::string& errors, int status = 0) {
  return read_said({false, status << 8, "", errors, {}});
}

}  // namespace

TEST_CASE("only what hangs is attached to, and a timing that passes is lucky instead of shim") {
  const auto ways = [](const Method& method) {
    std::string text;
    for (const How how : all_ways())
      if (applies(how, method)) text += how_text(how) + " ";
    return text;
  };
  CHECK(ways(kHangs) == "bare shim attached ");
  CHECK(ways(kLucky) == "bare lucky ");
  CHECK(ways(kSilent) == "bare shim ");
}

TEST_CASE("the answer of attach must be the promised one, with its kind") {
  const auto compared = [](const Outcome& outcome) {
    return difference(outcome, kHangs, How::kAttached);
  };
  CHECK(compared(attached_with("deadlock", {"deadlock", "orphaned-lock"})).empty());
  CHECK(compared(attached_with("deadlock", {"deadlock", "lost-thread"})) ==
        "attach answers 'deadlock lost-thread', should be 'deadlock orphaned-lock'");
  CHECK(compared(attached_with("deadlock", {"waiting", ""})) ==
        "attach answers 'waiting', should be 'deadlock orphaned-lock'");
  CHECK(compared(ended("deadlock")) ==
        "attach answers 'nothing', should be 'deadlock orphaned-lock'");
}

TEST_CASE("the report of attach is read, and another one refused") {
  CHECK(read_answer(R"({"schema":"forkscope.attach/1","answer":"deadlock",)"
                    R"("finding":{"kind":"lost-thread"}})") ==
        FromOutside{"deadlock", "lost-thread"});
  CHECK(read_answer(R"({"schema":"forkscope.attach/1","answer":"stuck","finding":null})") ==
        FromOutside{"stuck", ""});
  CHECK_THROWS_AS(read_answer(R"({"schema":"other/1","answer":"stuck"})"), std::runtime_error);
  CHECK_THROWS_AS(read_answer("no JSON"), std::runtime_error);
}

TEST_CASE("a scenario that lacks something is skipped, which is no difference") {
  const Outcome skipped =
      read_outcome({false, 77 << 8, "skipped: no such package\n", "", {}}, "{}");
  CHECK(skipped.skipped());
  CHECK(difference(skipped, kHangs, How::kShim).empty());
  const Case all{"allocator-lock", kHangs, How::kShim, {skipped}};
  CHECK(all.skipped());
  const Case some{"allocator-lock", kHangs, How::kBare, {skipped, ended("deadlock")}};
  CHECK_FALSE(some.skipped());
}

TEST_CASE("JUnit has a test for each case, with the differences of its runs, escaped") {
  const std::string junit = cases_junit({
      {"good", kSilent, How::kBare, {ended("completes")}},
      {"bad", kHangs, How::kBare, {ended("deadlock"), ended("exit 9 & \"<\"")}},
      {"absent", kSilent, How::kBare, {ended("skipped")}},
  });
  const std::string numbers = R"(tests="3" failures="1" errors="0" skipped="1" time="2.000")";
  const std::string escaped = "exit 9 &amp; &quot;&lt;&quot;";
  CHECK(junit ==
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<testsuites " +
            numbers +
            ">\n"
            "  <testsuite name=\"forkscope scenario run\" " +
            numbers +
            ">\n"
            "    <testcase classname=\"forkscope.good\" name=\"spawn (bare)\" time=\"0.500\"/>\n"
            "    <testcase classname=\"forkscope.bad\" name=\"fork (bare)\" time=\"1.000\">\n"
            "      <failure message=\"expected deadlock, seen deadlock 1/2; " +
            escaped +
            " 1/2\">"
            "run 2: end is '" +
            escaped +
            "', should be 'deadlock'\n</failure>\n"
            "    </testcase>\n"
            "    <testcase classname=\"forkscope.absent\" name=\"spawn (bare)\" time=\"0.500\">\n"
            "      <skipped/>\n"
            "    </testcase>\n"
            "  </testsuite>\n"
            "</testsuites>\n");
}

TEST_CASE("the Markdown table has a row for each method and a column for each way") {
  CHECK(cases_markdown(
            {{"parquet-lock", kHangs, How::kBare, {ended("deadlock")}},
             {"parquet-lock", kHangs, How::kAttached, {attached_with("deadlock", {"stuck", ""})}},
             {"parquet-lock", kSilent, How::kBare, {ended("completes")}}}) ==
        "| scenario | method | alone | `forkscope run` | `forkscope attach` |\n"
        "|---|---|---|---|---|\n"
        "| parquet-lock | `fork` | deadlock |  | **stuck**, expected deadlock orphaned-lock |\n"
        "| parquet-lock | `spawn` | completes |  |  |\n"
        "\n2 of 3 as expected, 0 skipped, 1 run of each.\n");
  CHECK(markdown_row({"a|b", ""}) == "| a\\|b |  |\n");
}

TEST_CASE("another detector has a name, or is its own") {
  CHECK(parse_detector("DRD=valgrind --tool=drd").name == "DRD");
  CHECK(parse_detector("DRD=valgrind --tool=drd").command == "valgrind --tool=drd");
  CHECK(parse_detector("valgrind --tool=drd").name == "valgrind --tool=drd");
  CHECK(parse_detector("=valgrind").command == "=valgrind");
}

TEST_CASE("the program is added to the detector's command, unless that has a place for its name") {
  Entry entry{"/lib/it's/parquet-lock", "", {}};
  entry.description.name = "parquet-lock";
  const Chosen chosen{&entry, &kHangs};
  CHECK(command_under({"D", "valgrind -q"}, chosen, std::chrono::milliseconds(500)) ==
        R"(valgrind -q '/lib/it'\''s/parquet-lock' --method=fork --patience=500)");
  CHECK(command_under({"D", "tsan/{name} #{name}"}, chosen, std::chrono::milliseconds(1)) ==
        "tsan/parquet-lock #parquet-lock --method=fork --patience=1");
}

TEST_CASE("the errors that other detectors count are read") {
  CHECK(said_text(said_of("==7== ERROR SUMMARY: 0 errors from 0 contexts\n")) == "0 errors");
  // One summary for each process.
  const Said races = said_of(
      "==7== Possible data race during read of size 4\n"
      "==7== ERROR SUMMARY: 1,000 errors from 2 contexts\n"
      "==8== ERROR SUMMARY: 1 errors from 1 contexts\n");
  CHECK(races.errors == 1001u);
  CHECK(said_text(races) == "1001 errors: data race");
  const Said sanitizer = said_of(
      "==================\nWARNING: ThreadSanitizer: data race (pid=7)\n"
      "SUMMARY: ThreadSanitizer: data race x.cpp:1 in f\nThreadSanitizer: reported 1 warnings\n",
      66);
  CHECK(said_text(sanitizer) == "1 error: data race");
  CHECK(sanitizer.end == "exit 66");
  CHECK(said_text(said_of("")) == "0 errors");
  CHECK(said_text(said_of("something else\n")) == "?");
}

TEST_CASE("a new scenario has its name in the three places, and the template's text") {
  CHECK(source_name("my-lock2") == "my_lock2.cpp");
  for (const char* name : {"", "My-lock", "lock-", "-lock", "my lock", "../lock"})
    CHECK_THROWS_AS(source_name(name), std::runtime_error);
  std::ifstream built(FORKSCOPE_TEMPLATE_CHECK);
  CHECK(new_scenario("template-check") == std::string(std::istreambuf_iterator<char>(built), {}));
}

TEST_CASE("a new scenario is not written over a file that is there") {
  std::string folder = (fs::temp_directory_path() / "new-scenario.XXXXXX").string();
  REQUIRE(mkdtemp(folder.data()) != nullptr);
  const fs::path path = write_new_scenario(folder, "my-lock");
  CHECK(fs::file_size(path) == new_scenario("my-lock").size());
  CHECK_THROWS_WITH(write_new_scenario(folder, "my-lock"), Catch::Contains("my_lock.cpp"));
  fs::remove_all(folder);
}
