// --suppressions, --baseline and --write-baseline, and fingerprints over several runs.
#include <signal.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

Ended run_deadlock(std::vector<std::string> options) {
  options.emplace_back("--on-deadlock=kill");
  return run(forkscope_run(options, probe({"deadlock"})));
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::string write(const TemporaryFolder& folder, const std::string& name, const std::string& text) {
  std::ofstream(folder / name) << text;
  return folder / name;
}

/// A wrong file is refused before the program starts, by one sentence.
void check_refused(const std::string& option, const std::string& part) {
  TemporaryFolder folder;
  const Ended ended = run(forkscope_run({option}, probe({"touch", folder / "started"})));
  INFO(ended.errors);
  CHECK(ended.exit() == 125);
  CHECK(ended.one_sentence_with(part));
  CHECK_FALSE(exists(folder / "started"));
}

}  // namespace

TEST_CASE("a finding has the same fingerprint in every run, wherever the program lies") {
  TemporaryFolder folder;
  std::set<std::string> fingerprints;
  const std::string copy = folder / "cli_probe";
  std::filesystem::copy_file(FORKSCOPE_PROBE, copy);
  for (const std::string& program : {std::string(FORKSCOPE_PROBE), std::string(FORKSCOPE_PROBE), copy}) {
    run(forkscope_run({"--quiet", "--on-deadlock=kill", "--json=" + (folder / "report")},
                      {program, "deadlock"}));
    const json report = json::parse(read_file(folder / "report"));
    REQUIRE(report.at("findings").size() == 1);
    fingerprints.insert(report.at("findings")[0].at("fingerprint").get<std::string>());
  }
  CHECK(fingerprints.size() == 1);
  CHECK(fingerprints.begin()->starts_with("v1-"));
}

TEST_CASE("a suppressed finding is neither printed nor failed on, and is counted") {
  TemporaryFolder folder;
  const std::string rules =
      write(folder, "rules", "# known\norphaned-lock:*table_lock\nlost-thread:*\n");
  const Ended ended = run_deadlock({"--suppressions=" + rules, "--fail-on=deadlock,latent,hazard,note",
                                    "--json=" + (folder / "report")});
  CHECK(ended.exit() == 10);
  CHECK_FALSE(contains(ended.errors, "table_lock"));
  CHECK(contains(ended.errors, "1 finding suppressed by 1 of 2 rules; 1 matched nothing"));
  const json report = json::parse(read_file(folder / "report"));
  CHECK(report.at("findings").empty());
  CHECK(report.at("summary").at("suppressed") == 1);
  REQUIRE(report.at("suppressed").size() == 1);
  CHECK(report.at("suppressed")[0].at("kind") == "orphaned-lock");
  REQUIRE(report.at("suppressions").size() == 2);
  CHECK(report.at("suppressions")[0].at("hits") == 1);
  CHECK(report.at("suppressions")[0].at("line") == 2);
  CHECK(report.at("suppressions")[1].at("hits") == 0);
}

TEST_CASE("rules match by function and module; --verbose names each, several files add up") {
  TemporaryFolder folder;
  const std::string first = write(folder, "first", "*:*holder*\n");
  const std::string second = write(folder, "second", "*:cli_probe\n*:nothing_of_this\n");
  const Ended ended =
      run_deadlock({"--verbose", "--suppressions=" + first, "--suppressions", second});
  CHECK(contains(ended.errors, "1 finding suppressed by 2 of 3 rules"));
  CHECK(contains(ended.errors, "1 hit  *:*holder*  (" + first + ":1)"));
  CHECK(contains(ended.errors, "unused  *:nothing_of_this  (" + second + ":2)"));
}

TEST_CASE("a rule for another kind or lock suppresses nothing") {
  TemporaryFolder folder;
  const std::string rules = write(folder, "rules", "lost-thread:table_lock\n*:table_loc\n");
  const Ended ended = run_deadlock({"--suppressions=" + rules, "--fail-on=deadlock"});
  CHECK(ended.exit() == 86);
  CHECK(contains(ended.errors, "0 findings suppressed by 0 of 2 rules"));
}

TEST_CASE("wrong files are refused with file, line and what was expected") {
  TemporaryFolder folder;
  check_refused("--suppressions=" + write(folder, "rules", "*:a\n\nno colon\n"), "rules:3: 'no colon'");
  check_refused("--suppressions=" + write(folder, "rules", "race:a\n"), "rules:1: 'race' is no kind");
  check_refused("--suppressions=" + (folder / "missing"), "No such file");
  check_refused("--suppressions=" + folder.path(), "Is a directory");
  check_refused("--baseline=" + write(folder, "base", "forkscope-baseline 1\nx\n"), "base:2: 'x'");
  check_refused("--baseline=" + (folder / "missing"), "--write-baseline");
  check_refused("--write-baseline=" + (folder / "no/such/folder"), "--write-baseline");
}

TEST_CASE("a wrong line is quoted in short, whatever is in it, and an editor's mark is none") {
  TemporaryFolder folder;
  for (const char* option : {"--suppressions=", "--baseline="}) {
    const std::string start = option[2] == 'b' ? "forkscope-baseline 1\n" : "";
    const std::string file = write(folder, "wrong", start + "\x1b[31m" + std::string(70'000, 'x'));
    const Ended wrong = run(forkscope_run({option + file}, probe({"exit", "0"})));
    CHECK(wrong.exit() == 125);
    CHECK(wrong.one_sentence_with("wrong:"));
    CHECK(wrong.errors.size() < 1000);
    CHECK(wrong.errors.find('\x1b') == std::string::npos);
    const std::string right = option[2] == 'b' ? start : "*:nothing_of_this\n";
    const std::string marked = write(folder, "marked", "\xef\xbb\xbf" + right);
    const Ended ended = run(forkscope_run({option + marked}, probe({"exit", "7"})));
    INFO(ended.errors);
    CHECK(ended.exit() == 7);
  }
}

TEST_CASE("a baseline accepts what it was written of, and fails on what is new") {
  TemporaryFolder folder;
  const std::string baseline = folder / "baseline";
  CHECK(run_deadlock({"--quiet", "--write-baseline=" + baseline}).exit() == 10);
  const std::string text = read_file(baseline);
  CHECK(text.starts_with("forkscope-baseline 1\nv1-"));
  CHECK(contains(text, " deadlock # orphaned-lock: mutex (anonymous namespace)::table_lock (cli_probe), met in "));
  CHECK(text == (run_deadlock({"--quiet", "--write-baseline=" + baseline}), read_file(baseline)));

  const Ended known = run_deadlock(
      {"--baseline=" + baseline, "--fail-on=deadlock", "--json=" + (folder / "report")});
  CHECK(known.exit() == 10);
  CHECK_FALSE(contains(known.errors, "table_lock"));
  CHECK(contains(known.errors, "baseline " + baseline + ": 1 known, 0 new"));
  CHECK(contains(known.errors, "nothing new found"));
  const json report = json::parse(read_file(folder / "report"));
  CHECK(report.at("findings")[0].at("known") == true);
  CHECK(report.at("summary").at("known") == 1);
  CHECK(report.at("baseline").at("missing").empty());
  CHECK(contains(run_deadlock({"--verbose", "--baseline=" + baseline}).errors, "known DEADLOCK"));

  const std::string empty = write(folder, "empty", "forkscope-baseline 1\n");
  const Ended fresh = run_deadlock({"--baseline=" + empty});  // --fail-on need not be said
  CHECK(fresh.exit() == 86);
  CHECK(contains(fresh.errors, "table_lock"));
  CHECK(contains(fresh.errors, "0 known, 1 new"));
  CHECK(run_deadlock({"--baseline=" + empty, "--fail-on=only:hazard"}).exit() == 10);
}

TEST_CASE("entries that did not appear are named") {
  TemporaryFolder folder;
  const std::string baseline = folder / "baseline";
  run_deadlock({"--quiet", "--write-baseline=" + baseline});
  const Ended ended = run(forkscope_run({"--baseline=" + baseline}, probe({"exit", "3"})));
  CHECK(ended.exit() == 3);
  CHECK(contains(ended.errors, "0 known, 0 new; 1 entry did not appear:"));
  CHECK(contains(ended.errors, "::table_lock (cli_probe)"));
}

TEST_CASE("with --baseline its entries are kept when it is written") {
  TemporaryFolder folder;
  const std::string baseline = write(folder, "baseline",
                                     "forkscope-baseline 1\nv1-0000000000000000 hazard # old\n");
  run_deadlock({"--quiet", "--baseline=" + baseline, "--write-baseline=" + baseline});
  CHECK(contains(read_file(baseline), "v1-0000000000000000 hazard # old\nv1-"));
  CHECK(contains(read_file(baseline), "table_lock"));
}

TEST_CASE("a kept session is reported with rules and baselines, too") {
  TemporaryFolder folder;
  const std::string session = folder / "session", baseline = folder / "baseline";
  run_deadlock({"--quiet", "--session=" + session});
  const Ended plain = run({FORKSCOPE_EXE, "report", "--write-baseline", baseline, session});
  CHECK(plain.exit() == 0);
  CHECK(contains(plain.output, "table_lock"));
  const Ended known = run({FORKSCOPE_EXE, "report", "--baseline", baseline, session});
  CHECK(known.exit() == 0);
  CHECK(contains(known.output, "1 known, 0 new"));
  const std::string rules = write(folder, "rules", "*:*::table_lock\n");
  const Ended suppressed = run({FORKSCOPE_EXE, "report", "--suppressions", rules, session});
  CHECK(contains(suppressed.output, "1 finding suppressed by 1 of 1 rule\n"));
  const std::string empty = write(folder, "empty", "forkscope-baseline 1\n");
  CHECK(run({FORKSCOPE_EXE, "report", "--baseline", empty, session}).exit() == 86);
  const std::string wrong = write(folder, "wrong", "x\n");
  CHECK(run({FORKSCOPE_EXE, "report", "--suppressions", wrong, session}).exit() == 125);
}

TEST_CASE("scan leaves out what a rule matches") {
  TemporaryFolder folder;
  Started hung(probe({"deadlock"}));
  json found;
  const auto scan = [&](const std::string& rules) {
    const Ended ended = run({FORKSCOPE_EXE, "scan", "--json", "-", "--suppressions",
                             write(folder, "rules", rules)});
    INFO(ended.errors);
    return json::parse(ended.output);
  };
  const auto finds_it = [&](const json& result) {
    for (const json& one : result.at("found"))
      if (one.at("process").at("parent") == hung.pid()) {
        found = one;
        return true;
      }
    return false;
  };
  while (!finds_it(scan("*:nothing_of_this\n"))) CHECK(process_lives(hung.pid()));
  CHECK(found.at("finding").at("fingerprint").get<std::string>().starts_with("v1-"));
  const json without = scan("*:*::table_lock\n");
  CHECK_FALSE(finds_it(without));
  CHECK(without.at("suppressed").get<int>() >= 1);
  CHECK(without.at("suppressions")[0].at("hits").get<int>() >= 1);
  kill(found.at("process").at("pid").get<pid_t>(), SIGKILL);
  CHECK(hung.end().exit() == 10);
}
