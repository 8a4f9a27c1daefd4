#include "bench/cost/report/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace forkscope::cost {
namespace {

constexpr double kBucketsPerOctave = 16;

// Continued fraction of the incomplete beta function (Lentz's method; DLMF 8.17.22).
double beta_fraction(double a, double b, double x) {
  constexpr double kTiny = 1e-300;
  double c = 1, d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < kTiny ? kTiny : d);
  double result = d;
  for (int m = 1; m < 500; ++m) {
    const double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
    const double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
    double step = 1;
    for (const double term : {even, odd}) {
      d = 1 + term * d;
      d = 1 / (std::abs(d) < kTiny ? kTiny : d);
      c = 1 + term / c;
      if (std::abs(c) < kTiny) c = kTiny;
      step = c * d;
      result *= step;
    }
    if (std::abs(step - 1) < 1e-14) break;
  }
  return result;
}

/// The regularised incomplete beta function.
double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

std::vector<double> logarithms(const std::vector<double>& values) {
  std::vector<double> out;
  for (const double value : values) out.push_back(std::log(value));
  return out;
}

struct Moments {
  double mean = 0, variance = 0;  ///< of a sample: n - 1
};

Moments moments(const std::vector<double>& values) {
  Moments m;
  const auto n = double(values.size());
  m.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  for (const double value : values) m.variance += (value - m.mean) * (value - m.mean);
  m.variance = values.size() > 1 ? m.variance / (n - 1) : 0;
  return m;
}

/// p of a t whose denominator may be 0: no spread at all decides for itself.
double p_of(double difference, double error, double degrees) {
  if (error > 0) return student_p(difference / error, degrees);
  return difference == 0 ? 1 : 0;
}

}  // namespace

int Histogram::bucket(double value) {
  return int(std::floor(std::log2(std::max(value, 1.0)) * kBucketsPerOctave));
}

double Histogram::lower_bound(int bucket) { return std::exp2(bucket / kBucketsPerOctave); }

std::vector<Histogram::Step> Histogram::distribution() const {
  std::uint64_t total = 0, below = 0;
  for (const auto& [bucket, count] : counts_) total += count;
  std::vector<Step> steps;
  for (const auto& [bucket, count] : counts_) {
    below += count;
    steps.push_back({lower_bound(bucket + 1), double(below) / double(total)});
  }
  return steps;
}

double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * double(sorted.size() - 1);
  const auto below = std::size_t(place);
  const auto above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (sorted[above] - sorted[below]) * (place - double(below));
}

Interval order_statistic_interval(const std::vector<double>& sorted) {
  const std::size_t n = sorted.size();
  // P(fewer than `rank` + 1 values lie below the median): binomial with 1/2, by logarithms.
  double below = 0;
  std::size_t rank = 0;
  for (std::size_t k = 0; k < n / 2; ++k) {
    below += std::exp(std::lgamma(double(n) + 1) - std::lgamma(double(k) + 1) -
                      std::lgamma(double(n - k) + 1) - double(n) * std::log(2.0));
    if (below > 0.025) break;
    rank = k;
  }
  return {sorted[rank], sorted[n - 1 - rank]};
}

Interval rounds_interval(const std::vector<double>& rounds) {
  const Moments m = moments(logarithms(rounds));
  const auto n = double(rounds.size());
  const double half = student_t95(n - 1) * std::sqrt(m.variance / n);
  return {std::exp(m.mean - half), std::exp(m.mean + half)};
}

Summary summarize(const std::vector<std::vector<double>>& rounds) {
  Summary summary;
  std::vector<double> all;
  for (std::vector<double> round : rounds) {
    if (round.empty()) continue;
    std::sort(round.begin(), round.end());
    summary.rounds.push_back(quantile(round, 0.5));
    all.insert(all.end(), round.begin(), round.end());
  }
  std::sort(all.begin(), all.end());
  summary.count = all.size();
  summary.median = quantile(all, 0.5);
  summary.interval = order_statistic_interval(all);
  if (summary.rounds.size() > 1 &&
      *std::min_element(summary.rounds.begin(), summary.rounds.end()) > 0) {
    const Interval between = rounds_interval(summary.rounds);
    if (between.high * summary.interval.low > between.low * summary.interval.high)
      summary.interval = between;
  }
  // The two have different centres when iterations are few: the median is inside in any case.
  summary.interval.low = std::min(summary.interval.low, summary.median);
  summary.interval.high = std::max(summary.interval.high, summary.median);
  summary.p95 = quantile(all, 0.95);
  summary.p99 = quantile(all, 0.99);
  summary.p999 = quantile(all, 0.999);
  summary.min = all.front();
  summary.max = all.back();
  for (const double value : all) summary.histogram.add(value);
  return summary;
}

double student_p(double t, double degrees) {
  return incomplete_beta(degrees / 2, 0.5, degrees / (degrees + t * t));
}

double student_t95(double degrees) {
  double low = 1.9, high = 13;  // infinite and one degree of freedom
  for (int i = 0; i < 60; ++i) {
    const double middle = (low + high) / 2;
    (student_p(middle, degrees) > 0.05 ? low : high) = middle;
  }
  return high;
}

std::optional<Line> fit_line(const std::vector<Point>& points) {
  if (points.size() < 3) return {};
  double w = 0, wx = 0, wy = 0;
  for (const Point& p : points) {
    if (p.y <= 0) return {};
    const double weight = 1 / (p.y * p.y);
    w += weight;
    wx += weight * p.x;
    wy += weight * p.y;
  }
  double sxx = 0, sxy = 0, syy = 0;
  for (const Point& p : points) {
    const double weight = 1 / (p.y * p.y), dx = p.x - wx / w, dy = p.y - wy / w;
    sxx += weight * dx * dx;
    sxy += weight * dx * dy;
    syy += weight * dy * dy;
  }
  if (sxx <= 0) return {};
  Line line;
  line.slope = sxy / sxx;
  line.intercept = (wy - line.slope * wx) / w;
  double rest = 0;
  for (const Point& p : points) {
    const double error = (p.y - line.at(p.x)) / p.y;
    rest += error * error;
    line.worst = std::max(line.worst, std::abs(error));
  }
  line.r_squared = syy > 0 ? 1 - rest / syy : 1;
  line.slope_error = std::sqrt(rest / double(points.size() - 2) / sxx);
  return line;
}

std::optional<double> crossover(const std::vector<Point>& a, const std::vector<Point>& b) {
  std::optional<Point> before;  // log x, log(a / b)
  for (const Point& p : a) {
    const auto q = std::find_if(b.begin(), b.end(), [&](const Point& o) { return o.x == p.x; });
    if (q == b.end() || p.y <= 0 || q->y <= 0 || p.x <= 0) continue;
    const Point now{std::log(p.x), std::log(p.y / q->y)};
    if (before && before->y != 0 && (before->y < 0) != (now.y < 0))
      return std::exp(before->x + (now.x - before->x) * before->y / (before->y - now.y));
    before = now;
  }
  return {};
}

Comparison paired_t(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> differences;
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    differences.push_back(std::log(b[i] / a[i]));
  Comparison result{1, 1, "paired t-test on logarithms"};
  if (differences.empty()) return result;
  const Moments m = moments(differences);
  const auto n = double(differences.size());
  result.ratio = std::exp(m.mean);
  if (differences.size() > 1) result.p = p_of(m.mean, std::sqrt(m.variance / n), n - 1);
  return result;
}

Comparison welch(const std::vector<double>& a, const std::vector<double>& b) {
  Comparison result{1, 1, "Welch's t-test on logarithms"};
  if (a.size() < 2 || b.size() < 2) return result;
  const Moments ma = moments(logarithms(a)), mb = moments(logarithms(b));
  const double va = ma.variance / double(a.size()), vb = mb.variance / double(b.size());
  const double degrees = va + vb > 0
                             ? (va + vb) * (va + vb) /
                                   (va * va / double(a.size() - 1) + vb * vb / double(b.size() - 1))
                             : 1;
  result.ratio = std::exp(mb.mean - ma.mean);
  result.p = p_of(mb.mean - ma.mean, std::sqrt(va + vb), degrees);
  return result;
}

Comparison wilcoxon(const std::vector<double>& ratios) {
  Comparison result{1, 1, "Wilcoxon signed-rank test on logarithms"};
  std::vector<double> sorted = ratios;
  std::sort(sorted.begin(), sorted.end());
  if (!sorted.empty()) result.ratio = quantile(sorted, 0.5);
  std::vector<double> differences = logarithms(ratios);
  std::erase(differences, 0.0);
  const std::size_t n = differences.size();
  if (n == 0) return result;
  std::sort(differences.begin(), differences.end(),
            [](double a, double b) { return std::abs(a) < std::abs(b); });
  double positive = 0, ties = 0;
  for (std::size_t begin = 0; begin < n;) {
    std::size_t end = begin;
    while (end < n && std::abs(differences[end]) == std::abs(differences[begin])) ++end;
    const auto tied = double(end - begin);
    for (std::size_t i = begin; i < end; ++i)
      if (differences[i] > 0) positive += double(begin + 1 + end) / 2;  // mean of their ranks
    ties += tied * tied * tied - tied;
    begin = end;
  }
  const auto size = double(n);
  const double total = size * (size + 1) / 2, extreme = std::min(positive, total - positive);
  if (n <= 30 && ties == 0) {
    // In how many of the 2^n signs the sum of the positive ranks is s.
    std::vector<double> ways(std::size_t(total) + 1, 0);
    ways[0] = 1;
    for (std::size_t rank = 1; rank <= n; ++rank)
      for (std::size_t s = ways.size(); s-- > rank;) ways[s] += ways[s - rank];
    double below = 0;
    for (std::size_t s = 0; s <= std::size_t(extreme); ++s) below += ways[s];
    result.p = std::min(1.0, 2 * below / std::exp2(size));
  } else {
    const double variance = size * (size + 1) * (2 * size + 1) / 24 - ties / 48;
    const double z = std::max(0.0, std::abs(positive - total / 2) - 0.5) / std::sqrt(variance);
    result.p = std::erfc(z / std::sqrt(2.0));
  }
  return result;
}

std::vector<double> holm(const std::vector<double>& p) {
  std::vector<std::size_t> order(p.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) { return p[a] < p[b]; });
  std::vector<double> adjusted(p.size());
  double least = 0;
  for (std::size_t i = 0; i < order.size(); ++i) {
    least = std::max(least, std::min(1.0, p[order[i]] * double(p.size() - i)));
    adjusted[order[i]] = least;
  }
  return adjusted;
}

double break_even(double a, double b, double share) {
  // (d + b) / (d + a) <= 1 + share
  return std::max(0.0, (b - (1 + share) * a) / share);
}

}  // namespace forkscope::cost
