// How often something was seen in a row of looks, and how sure that makes us of its probability.
//
// Looks that are close together see the same thing twice: a lock held for a second is seen a
// thousand times by looks a millisecond apart, and that is one observation, not a thousand. So the
// interval is computed for the *effective* number of looks, n / tau, where tau >= 1 is the larger
// of two estimates of the integrated autocorrelation:
//
//   batch means     the row is cut into 32 to 63 batches; tau is the variance of their means over
//                   the one that independent looks would have
//   two-state chain rho = 1 - P(free -> held) - P(held -> free), tau = (1 + rho) / (1 - rho). With
//                   Jeffreys' prior on both, so that a row without any change is not taken for
//                   certainty
//
// The first sees slow drifts, the second rare long events, of which batches have too few. The
// larger is cautious: intervals are a little too wide rather than too narrow
// (tests/unit/hit_series_test measures how often they hold the truth).
//
// The interval is Wilson's score interval (Wilson 1927), which is right near 0 and 1 as well.
// Pure; not thread-safe.
#pragma once

#include <array>
#include <cstdint>

namespace forkscope {

/// Which of the looks 0, 1, 2, ... hit. Looks that are not named missed. Constant size.
class HitSeries {
 public:
  /// Indices ascend; the same one twice counts once.
  void hit(std::uint64_t look);

  std::uint64_t hits() const { return hits_; }
  /// Stretches of looks in a row that hit.
  std::uint64_t runs() const { return runs_; }
  /// tau for `looks` looks so far, at least 1.
  double autocorrelation(std::uint64_t looks) const;

 private:
  static constexpr std::size_t kBatches = 64;
  void fold();

  std::uint64_t hits_ = 0, runs_ = 0, next_ = 0;  ///< next_: the look after the last that hit
  bool first_ = false;                            ///< look 0 hit
  std::uint64_t batch_size_ = 1;
  std::array<std::uint64_t, kBatches> batches_{};
};

struct Proportion {
  std::uint64_t looks = 0, hits = 0;
  double effective_looks = 0;
  double share = 0;  ///< hits / looks
  double low = 0, high = 1;
};

/// Standard normal quantiles, two-sided.
inline constexpr double kConfidence = 0.95, kConfidenceZ = 1.959964;

/// Wilson's interval for `share` of `effective` independent looks.
Proportion wilson(double share, double effective, double z);
/// `looks` is how many there were in all.
Proportion proportion(const HitSeries& series, std::uint64_t looks, double z = kConfidenceZ);

}  // namespace forkscope
