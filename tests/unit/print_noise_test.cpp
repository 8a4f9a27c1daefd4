// What a report says of what it leaves out.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "detector/report/noise_text.hpp"
#include "detector/report/print.hpp"

using namespace forkscope;
using Catch::Contains;

namespace {

Finding finding(const std::string& severity, bool known = false) {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = severity;
  f.process = 7;
  f.verdict = "waits for ever for mutex a";
  f.fingerprint = "v1-0123456789abcdef";
  f.known = known;
  return f;
}

std::string text_of(const Report& report, bool verbose = false) {
  TextOptions options;
  options.verbose = verbose;
  return summary_text(report, options);
}

}  // namespace

TEST_CASE("without rules and baseline nothing is said of them", "[print][noise]") {
  CHECK(noise_text(Report{}, {}).empty());
}

TEST_CASE("one line for the rules, with --verbose one for each", "[print][noise]") {
  Report report;
  report.suppressions = {{"*:a", "f.supp", 1, 12}, {"lost-thread:b*", "f.supp", 3, 0},
                         {"*:c", "g.supp", 1, 1}};
  report.summary.suppressed = 2;
  CHECK(noise_text(report, {}) ==
        "forkscope: 2 findings suppressed by 2 of 3 rules; 1 matched nothing (--verbose names it)\n");
  TextOptions verbose;
  verbose.verbose = true;
  CHECK(noise_text(report, verbose) ==
        "forkscope: 2 findings suppressed by 2 of 3 rules\n"
        "    12 hits  *:a  (f.supp:1)\n"
        "     unused  lost-thread:b*  (f.supp:3)\n"
        "      1 hit  *:c  (g.supp:1)\n");
}

TEST_CASE("a baseline says what was known, new and missing", "[print][noise]") {
  Report report;
  report.findings = {finding("deadlock", true), finding("hazard")};
  report.summary.known = 1;
  report.baseline = BaselineUse{"b.txt", {}};
  CHECK(noise_text(report, {}) == "forkscope: baseline b.txt: 1 known, 1 new\n");
  for (int i = 0; i < 10; ++i)
    report.baseline->missing.push_back({"v1-0000000000000000", "hazard", "mutex\x1b a"});
  const std::string text = noise_text(report, {});
  CHECK_THAT(text, Contains("1 known, 1 new; 10 entries did not appear:\n"));
  CHECK_THAT(text, Contains("  ... 2 more (--verbose names them)\n"));
  CHECK(text.find('\x1b') == std::string::npos);
}

TEST_CASE("known findings are in no alarm of the summary", "[print][noise]") {
  Report report;
  report.findings = {finding("deadlock", true), finding("hazard", true), finding("note", true)};
  report.summary.known = 3;
  report.summary.hazards = report.summary.notes = 1;
  CHECK(text_of(report) == "forkscope: 0 forks; nothing new found\n");
  report.findings.push_back(finding("deadlock"));
  CHECK_THAT(text_of(report), Contains("found 1 deadlock\n"));
}

TEST_CASE("a finding says that it is known, declared safe, and its fingerprint",
          "[print][noise]") {
  Finding f = finding("deadlock", true);
  f.declared_safe = "it only writes";
  const std::string text = finding_text(f, {});
  CHECK_THAT(text, Contains("  known DEADLOCK in process 7: ") && Contains("v1-0123456789abcdef"));
  constexpr const char* kDeclared =
      "the program declares this fork safe: it only writes (it was not)";
  CHECK_THAT(text, Contains(kDeclared));
  TextOptions verbose;
  verbose.verbose = true;
  CHECK_THAT(finding_text(f, verbose), Contains(kDeclared));
  f.severity = "note";
  CHECK(finding_text(f, {}).find("it was not") == std::string::npos);
}

TEST_CASE("JSON has suppressed findings apart, rules and baseline", "[print][noise]") {
  Report report;
  report.suppressed = {finding("deadlock")};
  report.suppressions = {{"*:a", "f.supp", 1, 12}};
  auto json = nlohmann::json::parse(report_json(report));
  CHECK(json.at("findings").empty());
  CHECK(json.at("suppressed").at(0).at("fingerprint") == "v1-0123456789abcdef");
  CHECK(json.at("suppressions").at(0) ==
        nlohmann::json{{"rule", "*:a"}, {"file", "f.supp"}, {"line", 1}, {"hits", 12}});
  CHECK(json.at("baseline").is_null());
}
