// The arithmetic of `forkscope bench`. Reference values are scipy's (1.17: stats.t, ttest_ind with
// equal_var=False, ttest_rel, wilcoxon with mode="exact").
#include "bench/cost/report/statistics.hpp"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

using namespace forkscope::cost;

namespace {

std::vector<double> one_to(int last) {
  std::vector<double> values;
  for (int i = 1; i <= last; ++i) values.push_back(i);
  return values;
}

/// Rounds of log-normal times: a process is faster or slower than another, and so is an iteration.
std::vector<std::vector<double>> noisy_rounds(std::mt19937& random, int rounds, double between) {
  std::normal_distribution<double> process(0, between), iteration(0, 0.1);
  std::vector<std::vector<double>> out;
  for (int i = 0; i < rounds; ++i) {
    const double shift = process(random);
    out.emplace_back();
    for (int k = 0; k < 50; ++k) out.back().push_back(1000 * std::exp(shift + iteration(random)));
  }
  return out;
}

double share_of_intervals_that_hold(int rounds, double between) {
  std::mt19937 random(1);
  int held = 0;
  constexpr int kRuns = 400;
  for (int i = 0; i < kRuns; ++i) {
    const Interval interval = summarize(noisy_rounds(random, rounds, between)).interval;
    held += interval.low <= 1000 && 1000 <= interval.high;
  }
  return double(held) / kRuns;
}

}  // namespace

TEST_CASE("bench: the interval of a median by order statistics has the binomial's ranks") {
  const auto interval = [](int n) { return order_statistic_interval(one_to(n)); };
  CHECK(interval(1).low == 1);
  CHECK(interval(1).high == 1);
  CHECK(interval(5).low == 1);  // 94 % at most: all there is
  CHECK(interval(6).high == 6);
  CHECK(interval(10).low == 2);  // 1 - 2 * 11 / 1024
  CHECK(interval(10).high == 9);
  CHECK(interval(100).low == 40);
  CHECK(interval(100).high == 61);
  CHECK(interval(5000).low == Approx(2431).margin(1));
}

TEST_CASE("bench: intervals hold the truth when processes differ, and when they do not") {
  CHECK(share_of_intervals_that_hold(5, 0.0) >= 0.93);
  CHECK(share_of_intervals_that_hold(5, 0.2) >= 0.93);
  CHECK(share_of_intervals_that_hold(3, 0.2) >= 0.93);
}

TEST_CASE("bench: a summary has the quantiles of all iterations and the medians of the rounds") {
  const Summary s = summarize({{3, 1, 2}, {}, {10, 30, 20, 40}});
  CHECK(s.count == 7);
  CHECK(s.median == 10);
  CHECK(s.rounds == std::vector<double>{2, 25});
  CHECK(s.min == 1);
  CHECK(s.max == 40);
  CHECK(s.p99 == Approx(39.4));
  CHECK(s.interval.low <= 10);
  CHECK(s.interval.high >= 10);
  std::uint64_t counted = 0;
  for (const auto& [bucket, count] : s.histogram.counts()) counted += count;
  CHECK(counted == 7);
}

TEST_CASE("bench: a histogram's buckets hold their values and the distribution ends at 1") {
  Histogram histogram;
  for (const double value : {1.0, 7.0, 1000.0, 123456.0, 9e9, 0.0}) {
    const int bucket = Histogram::bucket(value);
    CHECK(Histogram::lower_bound(bucket) <= std::max(value, 1.0) * 1.000001);
    CHECK(Histogram::lower_bound(bucket + 1) > value);
    histogram.add(value);
  }
  const auto steps = histogram.distribution();
  CHECK(steps.back().share == 1);
  CHECK(std::is_sorted(steps.begin(), steps.end(),
                       [](const auto& a, const auto& b) { return a.share < b.share; }));
}

TEST_CASE("bench: Student's t has scipy's values") {
  CHECK(student_t95(1) == Approx(12.7062));
  CHECK(student_t95(2) == Approx(4.30265));
  CHECK(student_t95(4) == Approx(2.77645));
  CHECK(student_t95(29) == Approx(2.04523));
  CHECK(student_t95(200) == Approx(1.97190));
  CHECK(student_p(2, 10) == Approx(0.0733880));
  CHECK(student_p(-2, 10) == student_p(2, 10));
  CHECK(student_p(0, 3) == Approx(1));
}

TEST_CASE("bench: tests have scipy's values") {
  const Comparison unpaired = welch({10, 12, 11, 13}, {15, 14, 16, 13.5, 17});
  CHECK(unpaired.ratio == Approx(1.3146044));
  CHECK(unpaired.p == Approx(0.00842537).epsilon(1e-4));
  const Comparison paired = paired_t({10, 12, 11, 13}, {10.5, 11, 12.5, 13.9});
  CHECK(paired.ratio == Approx(1.0399139));
  CHECK(paired.p == Approx(0.4513301));
  CHECK(wilcoxon({1.1, 1.2, 0.95, 1.3, 1.05, 1.4, 0.9}).p == Approx(0.21875));
  CHECK(wilcoxon({1.1, 1.2, 1.3, 1.4, 1.5, 1.6}).p == Approx(0.03125));
  CHECK(wilcoxon({1.1, 1.2, 1.3, 1.4, 1.5, 1.6}).ratio == Approx(1.35));
}

TEST_CASE("bench: tests of nothing find nothing") {
  CHECK(welch({10}, {20, 21}).p == 1);
  CHECK(welch({10, 10}, {10, 10}).p == 1);
  CHECK(paired_t({10, 10}, {10, 10}).p == 1);
  CHECK(paired_t({}, {}).p == 1);
  CHECK(wilcoxon({}).p == 1);
  CHECK(wilcoxon({1, 1, 1}).p == 1);
}

TEST_CASE("bench: Wilcoxon's approximation for many pairs agrees with the exact test") {
  std::vector<double> ratios;
  for (int i = 0; i < 30; ++i)
    ratios.push_back(i % 3 == 0 ? 1 / (1.011 + i * 0.01) : 1.01 + i * 0.01);
  const double exact = wilcoxon(ratios).p;
  ratios.push_back(1.0101);  // 31 pairs: the approximation
  CHECK(wilcoxon(ratios).p == Approx(exact).epsilon(0.3));
}

TEST_CASE("bench: Holm's correction multiplies, keeps the order of size and does not exceed 1") {
  const auto adjusted = holm({0.01, 0.04, 0.03, 0.5});
  CHECK(adjusted[0] == Approx(0.04));
  CHECK(adjusted[2] == Approx(0.09));
  CHECK(adjusted[1] == Approx(0.09));  // not below the one before
  CHECK(adjusted[3] == Approx(0.5));
  CHECK(holm({0.9, 0.9})[0] == 1);
  CHECK(holm({}).empty());
}

TEST_CASE("bench: a line is found again, and one through noise says how sure it is") {
  const auto exact = fit_line({{0.001, 50.01}, {1, 60}, {4, 90}, {16, 210}});
  REQUIRE(exact);
  CHECK(exact->slope == Approx(10));
  CHECK(exact->intercept == Approx(50));
  CHECK(exact->r_squared == Approx(1));
  CHECK(exact->worst < 1e-9);
  const auto rough = fit_line({{1, 12}, {2, 19}, {3, 33}, {4, 38}});
  REQUIRE(rough);
  CHECK(rough->slope_error > 0.5);
  CHECK(rough->r_squared < 1);
  CHECK_FALSE(fit_line({{1, 1}, {2, 2}}));
  CHECK_FALSE(fit_line({{1, 1}, {1, 2}, {1, 3}}));
  CHECK_FALSE(fit_line({{1, 1}, {2, 0}, {3, 3}}));
}

TEST_CASE("bench: lines cross where they do on log-log paper, and only there") {
  const std::vector<Point> rising{{1, 1}, {10, 10}, {100, 100}},
      flat{{1, 31.6228}, {10, 31.6228}, {100, 31.6228}};
  REQUIRE(crossover(rising, flat));
  CHECK(*crossover(rising, flat) == Approx(31.6228));
  CHECK(*crossover(flat, rising) == Approx(31.6228));
  CHECK_FALSE(crossover(rising, {{1, 2}, {10, 20}, {100, 200}}));
  CHECK_FALSE(crossover(rising, {{5, 1}, {50, 1}}));  // no common size
}

TEST_CASE("bench: from the break-even on the dearer method is within its share") {
  const double task = break_even(1, 51, 0.1);
  CHECK((task + 51) / (task + 1) == Approx(1.1));
  CHECK(break_even(50, 51, 0.1) == 0);
}
