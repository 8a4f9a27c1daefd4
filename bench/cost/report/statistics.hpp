// The arithmetic of `forkscope bench`. Pure functions; thread-safe.
//
// Times are positive and skewed, and effects multiply (a busy neighbour makes everything a third
// slower), so that means, intervals and tests work on logarithms, and differences are ratios.
//
// A process is not a sample: where its memory lies differs from start to start, and with it every
// time in it. So a case is measured in several rounds, one process each, and a confidence interval
// is the wider of two: that of the median over all iterations by order statistics (exact,
// binomial), and Student's over the logarithms of the rounds' medians.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace forkscope::cost {

struct Interval {
  double low = 0, high = 0;
};

/// Counts by buckets whose bounds are powers of 2^(1/16): 4.4 % wide. Values below 1 count as 1.
class Histogram {
 public:
  void add(double value, std::uint64_t count = 1) { counts_[bucket(value)] += count; }
  static int bucket(double value);
  static double lower_bound(int bucket);
  const std::map<int, std::uint64_t>& counts() const { return counts_; }
  std::map<int, std::uint64_t>& counts() { return counts_; }
  /// Share of the values up to the end of each bucket that is not empty.
  struct Step {
    double value, share;
  };
  std::vector<Step> distribution() const;

 private:
  std::map<int, std::uint64_t> counts_;
};

/// What is known of one clock of a case.
struct Summary {
  std::size_t count = 0;
  double median = 0;
  Interval interval;  ///< of the median, 95 %
  double p95 = 0, p99 = 0, p999 = 0, min = 0, max = 0;
  std::vector<double> rounds;  ///< the median of each
  Histogram histogram;
};
/// Rounds without a value are left out; there must be one value.
Summary summarize(const std::vector<std::vector<double>>& rounds);

/// Linear between neighbours; `sorted` must not be empty.
double quantile(const std::vector<double>& sorted, double share);

/// Of the median: the narrowest pair of order statistics that holds it with 95 %, or all of it.
Interval order_statistic_interval(const std::vector<double>& sorted);
/// Of the middle of the rounds: Student's on logarithms. Two rounds at least.
Interval rounds_interval(const std::vector<double>& rounds);

/// Two-sided p of Student's t with `degrees` of freedom.
double student_p(double t, double degrees);
/// The t whose two-sided p is 0.05.
double student_t95(double degrees);

/// y = intercept + slope * x by least squares of the *relative* errors, so that small and large
/// sizes count the same.
struct Line {
  double intercept = 0, slope = 0;
  double slope_error = 0;  ///< standard error
  double r_squared = 0;    ///< of the relative errors
  double worst = 0;        ///< largest relative error of a point
  double at(double x) const { return intercept + slope * x; }
};
struct Point {
  double x = 0, y = 0;
};
/// Three points at least, with different x and positive y; else nothing.
std::optional<Line> fit_line(const std::vector<Point>& points);

/// The first x at which a is no longer below (or above) b; straight between points on log-log
/// paper. Both ascend in x. Nothing if they do not cross where both were measured.
std::optional<double> crossover(const std::vector<Point>& a, const std::vector<Point>& b);

/// Ratio and how probable one at least as far from 1 is by chance alone.
struct Comparison {
  double ratio = 1;  ///< b / a
  double p = 1;
  const char* test = "";
};
/// Of rounds that were run next to each other: paired t-test on logarithms. Of one pair p is 1.
Comparison paired_t(const std::vector<double>& a, const std::vector<double>& b);
/// Of rounds at different times: Welch's t-test on logarithms. Two of each at least.
Comparison welch(const std::vector<double>& a, const std::vector<double>& b);
/// Of many cases, a pair each: Wilcoxon's signed-rank test on the logarithms of the ratios b / a;
/// exact up to 30 pairs. The ratio is their median.
Comparison wilcoxon(const std::vector<double>& ratios);
/// Holm's correction for many tests; the order is kept.
std::vector<double> holm(const std::vector<double>& p);

/// Tasks take d each and starting one costs a or b (b the dearer): the d from which on b's total is
/// within `share` of a's. 0 if it always is.
double break_even(double a, double b, double share);

}  // namespace forkscope::cost
