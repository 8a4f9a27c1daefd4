// The interval of a probability from looks that depend on each other. The random rows are made with
// fixed seeds: what is counted is the same in every run.
#include <catch2/catch.hpp>
#include <cmath>
#include <random>

#include "detector/verdict/hit_series.hpp"

using namespace forkscope;

namespace {

struct Row {
  HitSeries series;
  std::uint64_t looks = 0;
  void add(bool hit) {
    if (hit) series.hit(looks);
    ++looks;
  }
  Proportion result() const { return proportion(series, looks); }
};

/// Looks at random moments (mean distance 1) at a lock that is held and free for exponential times.
Row looks_at(std::mt19937_64& random, std::uint64_t looks, double held, double free) {
  std::exponential_distribution<double> until_look(1), until_free(1 / held), until_held(1 / free);
  Row row;
  bool now = std::uniform_real_distribution<double>(0, held + free)(random) < held;
  double change = now ? until_free(random) : until_held(random);
  for (double time = until_look(random); row.looks < looks; time += until_look(random)) {
    while (change < time) {
      now = !now;
      change += now ? until_free(random) : until_held(random);
    }
    row.add(now);
  }
  return row;
}

/// How many of 400 intervals hold the truth, in per cent.
double coverage(double held, double free, std::uint64_t looks) {
  std::mt19937_64 random(20260101);
  const double truth = held / (held + free);
  int good = 0;
  for (int i = 0; i < 400; ++i) {
    const Proportion p = looks_at(random, looks, held, free).result();
    good += p.low <= truth && truth <= p.high;
  }
  return good / 4.0;
}

}  // namespace

TEST_CASE("proportion: Wilson's interval has the published values") {
  // 9 of 10 and 0 of 10 with z = 1.96: 0.5958 to 0.9821, 0 to 0.2775 (Newcombe 1998, method 3).
  const Proportion nine = wilson(0.9, 10, 1.959964);
  CHECK(nine.low == Approx(0.59585).margin(1e-4));
  CHECK(nine.high == Approx(0.98212).margin(1e-4));
  const Proportion none = wilson(0, 10, 1.959964);
  CHECK(none.low == 0);
  CHECK(none.high == Approx(0.27753).margin(1e-4));
}

TEST_CASE("proportion: nothing seen says nothing") {
  const Proportion p = proportion(HitSeries{}, 0);
  CHECK(p.low == 0);
  CHECK(p.high == 1);
  CHECK(p.effective_looks == 0);
}

TEST_CASE("proportion: independent looks count nearly in full") {
  std::mt19937_64 random(7);
  std::bernoulli_distribution hit(0.3);
  double effective = 0;
  for (int i = 0; i < 100; ++i) {
    Row row;
    while (row.looks < 10'000) row.add(hit(random));
    effective += row.result().effective_looks / 10'000 / 100;
  }
  CHECK(effective > 0.8);
  CHECK(effective <= 1.0);
}

TEST_CASE("proportion: one long hold is one observation, however often it was looked at") {
  Row row;
  while (row.looks < 10'000) row.add(row.looks >= 3000 && row.looks < 4000);
  const Proportion p = row.result();
  CHECK(p.share == Approx(0.1));
  CHECK(row.series.runs() == 1);
  CHECK(p.effective_looks < 20);
  CHECK(p.high > 0.25);
}

TEST_CASE("proportion: always and never leave room for what was not seen") {
  Row always, never;
  while (always.looks < 1000) always.add(true), never.add(false);
  CHECK(always.result().share == 1);
  CHECK(always.result().high == 1);
  CHECK(always.result().low < 0.998);
  CHECK(never.result().low == 0);
  CHECK(never.result().high > 0.002);
  CHECK(never.result().high < 0.03);
}

TEST_CASE("proportion: a slow drift is seen although neighbours look independent") {
  // Held with 10 % in the first half and 50 % in the second, anew at each look.
  std::mt19937_64 random(11);
  Row row;
  while (row.looks < 20'000)
    row.add(std::bernoulli_distribution(row.looks < 10'000 ? 0.1 : 0.5)(random));
  CHECK(row.result().effective_looks < 2000);
}

TEST_CASE("proportion: looks beyond the last hit count") {
  HitSeries series;
  for (std::uint64_t i = 0; i < 100; ++i) series.hit(i * 3);
  CHECK(proportion(series, 1'000'000).share == Approx(1e-4));
  CHECK(series.hits() == 100);
  CHECK(series.runs() == 100);
}

TEST_CASE("proportion: the same look hits once") {
  HitSeries series;
  series.hit(5);
  series.hit(5);
  series.hit(6);
  CHECK(series.hits() == 2);
  CHECK(series.runs() == 1);
}

TEST_CASE("proportion: the 95 % interval holds the truth about as often as it says") {
  // Times in mean distances between looks: holds shorter than a look, about as long, much longer.
  CHECK(coverage(0.01, 0.03, 4000) >= 93);
  CHECK(coverage(1, 3, 4000) >= 93);
  CHECK(coverage(20, 60, 4000) >= 93);
  CHECK(coverage(5, 500, 20'000) >= 93);
  CHECK(coverage(0.2, 0.004, 4000) >= 93);
}

TEST_CASE("proportion: taking dependent looks for independent would be wrong") {
  // What the effective number is for: the same rows, judged by their plain number.
  std::mt19937_64 random(20260101);
  int good = 0;
  for (int i = 0; i < 400; ++i) {
    const Row row = looks_at(random, 4000, 20, 60);
    const Proportion p = wilson(double(row.series.hits()) / 4000, 4000, kConfidenceZ);
    good += p.low <= 0.25 && 0.25 <= p.high;
  }
  CHECK(good < 200);
}
