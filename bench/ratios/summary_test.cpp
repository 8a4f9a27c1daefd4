// The arithmetic and the words of the ratio table.
#include "bench/ratios/summary.hpp"

#include <catch2/catch.hpp>

using namespace forkscope::bench;

namespace {

const Case kCase{"some-case", "program", "benchmark", 1, {}};
const Metric kAimed{"some row", "pair", 1.4};

std::vector<Sample> with_ratios(std::vector<double> ratios) {
  std::vector<Sample> samples;
  for (double ratio : ratios) samples.push_back({2e-8, ratio * 2e-8, 2e-8});
  return samples;
}

std::string verdict_of(std::vector<double> ratios) {
  const std::string text = markdown({summarize(kCase, kAimed, with_ratios(ratios))}, {});
  return text.substr(text.rfind("| <= 1.4 |"));
}

}  // namespace

TEST_CASE("quartiles do not depend on order and interpolate") {
  const Quartiles q = quartiles({4, 1, 3, 2});
  CHECK(q.low == Approx(1.75));
  CHECK(q.median == Approx(2.5));
  CHECK(q.high == Approx(3.25));
  CHECK(quartiles({7}).median == 7);
}

TEST_CASE("the ratio is the median within rounds, not the ratio of medians") {
  // The machine is ten times slower in the second round; both sides feel it.
  const Row row = summarize(kCase, kAimed, {{10, 12, 10}, {100, 120, 110}, {10, 30, 10}});
  CHECK(row.ratio.median == Approx(1.2));
  CHECK(row.control.median == Approx(1.0));
  CHECK(row.bare.median == Approx(10));
  CHECK(row.preloaded.median == Approx(30));
}

TEST_CASE("an aim is met up to its value and missed by the excess over it") {
  CHECK_FALSE(summarize(kCase, kAimed, with_ratios({1.4})).miss());
  CHECK(summarize(kCase, kAimed, with_ratios({2.1})).miss().value() == Approx(0.5));
  CHECK(verdict_of({1.2, 1.2, 1.2}) == "| <= 1.4 | met |\n");
  CHECK(verdict_of({2.1, 2.1, 2.1}) == "| <= 1.4 | missed by 50.0 % |\n");
}

TEST_CASE("an aim between the quartiles is within the noise") {
  CHECK(verdict_of({1.3, 1.39, 1.5}) == "| <= 1.4 | met, within the noise |\n");
  CHECK(verdict_of({1.2, 1.54, 1.6}).find("missed by 10.0 %, within the noise") !=
        std::string::npos);
}

TEST_CASE("a control further off than the ratio from its aim makes the verdict noise") {
  const auto row = [](double control) {
    return summarize(kCase, kAimed, {{10, 21, control}, {10, 21, control}});  // 50 % over the aim
  };
  CHECK(row(16).within_noise());
  CHECK(row(4).within_noise());
  CHECK_FALSE(row(14).within_noise());
}

TEST_CASE("a row without an aim has no verdict") {
  const Metric plain{"plain", "pair", {}};
  const Row row = summarize(kCase, plain, with_ratios({9}));
  CHECK_FALSE(row.miss());
  CHECK_FALSE(row.within_noise());
  CHECK(markdown({row}, {}).find("| plain | 20.00 ns | 180.00 ns | 9.000 | 9.000 - 9.000 | 1.000 |"
                                 "  |  |\n") != std::string::npos);
  CHECK_FALSE(json_document({row}, {})["rows"][0].contains("met"));
}

TEST_CASE("the JSON document has every sample and the verdict") {
  const auto document =
      json_document({summarize(kCase, kAimed, with_ratios({2.1, 2.1}))}, Conditions{});
  CHECK(document["schema"] == "forkscope.bench-ratios/1");
  const auto& row = document["rows"][0];
  CHECK(row["samples"].size() == 2);
  CHECK(row["met"] == false);
  CHECK(row["missed_by"].get<double>() == Approx(0.5));
}

TEST_CASE("remarks are printed below the table") {
  Conditions conditions;
  conditions.remarks = {"it was a bad day."};
  CHECK(markdown({}, conditions).find("\nNote: it was a bad day.\n") != std::string::npos);
}

TEST_CASE("an aim may be a difference in place of a ratio") {
  const Metric metric{"title", "pair", {}, 10e-9};
  const Row met = summarize(Case{}, metric, {{20e-9, 25e-9, 20e-9}, {20e-9, 25e-9, 20e-9}});
  CHECK_FALSE(met.miss());
  CHECK_FALSE(met.within_noise());
  const Row missed = summarize(Case{}, metric, {{20e-9, 35e-9, 20e-9}, {20e-9, 35e-9, 20e-9}});
  REQUIRE(missed.miss());
  CHECK(*missed.miss() == Approx(0.5));
  const Row doubtful = summarize(Case{}, metric, {{20e-9, 31e-9, 28e-9}, {20e-9, 31e-9, 28e-9}});
  CHECK(doubtful.within_noise());
}
