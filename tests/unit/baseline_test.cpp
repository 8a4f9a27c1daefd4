// Baselines: the file, and what a run is compared by.
#include "detector/verdict/baseline.hpp"

#include <catch2/catch.hpp>

#include "detector/verdict/fingerprint.hpp"

using namespace forkscope;
using Catch::Contains;

namespace {

Finding finding(const std::string& variable, const std::string& severity = "deadlock") {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = severity;
  f.lock = {0x1000, "mutex", variable, "/opt/app/reader", 0x10};
  f.fingerprint = fingerprint_of(f);
  return f;
}

Report report_of(std::vector<Finding> findings) {
  Report report;
  report.findings = std::move(findings);
  return report;
}

std::string error_of(const std::string& text) {
  try {
    parse_baseline(text, "b.txt");
  } catch (const std::runtime_error& error) {
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a baseline is sorted, and the same in whatever order findings came", "[baseline]") {
  const std::string one = baseline_text(report_of({finding("a"), finding("b"), finding("c")}));
  const std::string other = baseline_text(report_of({finding("c"), finding("a"), finding("b")}));
  CHECK(one == other);
  CHECK(one.starts_with("forkscope-baseline 1\nv1-"));
  CHECK_THAT(one, Contains(finding("b").fingerprint +
                           " deadlock # orphaned-lock: mutex b (reader)\n"));
}

TEST_CASE("what is written is read again, and accepts what it was written of", "[baseline]") {
  Report report = report_of({finding("a"), finding("b", "hazard")});
  compare_with_baseline(report, parse_baseline(baseline_text(report), "b.txt"), "b.txt");
  CHECK(report.findings[0].known);
  CHECK(report.findings[1].known);
  CHECK(report.summary.known == 2);
  REQUIRE(report.baseline);
  CHECK(report.baseline->missing.empty());
}

TEST_CASE("a new finding is not known, and an entry without a finding is missing", "[baseline]") {
  const auto entries = parse_baseline(baseline_text(report_of({finding("a"), finding("b")})), "b");
  Report report = report_of({finding("a"), finding("c")});
  compare_with_baseline(report, entries, "b");
  CHECK(report.findings[0].known);
  CHECK_FALSE(report.findings[1].known);
  REQUIRE(report.baseline->missing.size() == 1);
  CHECK(report.baseline->missing[0].fingerprint == finding("b").fingerprint);
  CHECK_THAT(report.baseline->missing[0].comment, Contains("mutex b"));
}

TEST_CASE("who accepted a hazard has not accepted a deadlock", "[baseline]") {
  const auto hazard = parse_baseline(baseline_text(report_of({finding("a", "hazard")})), "b");
  const auto deadlock = parse_baseline(baseline_text(report_of({finding("a")})), "b");
  Report report = report_of({finding("a", "deadlock"), finding("a", "hazard"), finding("a", "note")});
  compare_with_baseline(report, hazard, "b");
  CHECK_FALSE(report.findings[0].known);
  CHECK(report.findings[1].known);
  CHECK(report.findings[2].known);
  CHECK(report.baseline->missing.empty());
  compare_with_baseline(report, deadlock, "b");
  CHECK(report.findings[0].known);
}

TEST_CASE("of one finding the gravest severity is written", "[baseline]") {
  const std::string text = baseline_text(report_of({finding("a", "hazard"), finding("a")}));
  CHECK(parse_baseline(text, "b").size() == 1);
  CHECK(parse_baseline(text, "b")[0].severity == "deadlock");
}

TEST_CASE("entries that are kept stay beside what is new", "[baseline]") {
  const auto old = parse_baseline(baseline_text(report_of({finding("a"), finding("b", "note")})), "");
  const auto both = parse_baseline(baseline_text(report_of({finding("b"), finding("c")}), old), "");
  CHECK(both.size() == 3);
  for (const BaselineEntry& entry : both) CHECK(entry.severity == "deadlock");
}

TEST_CASE("a suppressed finding has appeared", "[baseline]") {
  Report report;
  report.suppressed = {finding("a")};
  compare_with_baseline(report, parse_baseline(baseline_text(report_of({finding("a")})), "b"), "b");
  CHECK(report.baseline->missing.empty());
}

TEST_CASE("names with line ends stay in their line", "[baseline]") {
  Finding odd = finding("a");
  odd.lock.name = "two\nlines";
  CHECK(parse_baseline(baseline_text(report_of({odd})), "b").size() == 1);
}

TEST_CASE("people may add comments and empty lines, also without one of ours", "[baseline]") {
  const auto entries = parse_baseline(
      "# of the nightly run\nforkscope-baseline 1\r\n\nv1-0123456789abcdef  hazard\r\n"
      "# issue 12\nv1-0123456789abcdee deadlock #x\n",
      "b");
  REQUIRE(entries.size() == 2);
  CHECK(entries[0].severity == "hazard");
  CHECK(entries[0].comment.empty());
}

TEST_CASE("a wrong line of a baseline is named with what was expected", "[baseline]") {
  CHECK(error_of("") ==
        "b.txt:1: the file is empty; expected 'forkscope-baseline 1': write one with "
        "--write-baseline");
  CHECK_THAT(error_of("forkscope-baseline 2\n"), Contains("b.txt:1: this is no baseline of this"));
  CHECK_THAT(error_of("{\"schema\": 1}\n"), Contains("b.txt:1: this is no baseline"));
  const std::string head = "forkscope-baseline 1\n";
  CHECK_THAT(error_of(head + "v9-0123456789abcdef deadlock\n"),
             Contains("b.txt:2: 'v9-0123456789abcdef' is no fingerprint of this version"));
  CHECK_THAT(error_of(head + "v1-0123456789abcdef\n"),
             Contains("b.txt:2: '' is no severity; expected deadlock, latent, hazard, note"));
  CHECK_THAT(error_of(head + "v1-0123456789abcdef deadlock mine\n"),
             Contains("b.txt:2: 'mine' is too much"));
}
