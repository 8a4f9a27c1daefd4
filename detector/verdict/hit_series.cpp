#include "detector/verdict/hit_series.hpp"

#include <algorithm>
#include <cmath>

namespace forkscope {

void HitSeries::fold() {
  for (std::size_t i = 0; i < kBatches / 2; ++i)
    batches_[i] = batches_[2 * i] + batches_[2 * i + 1];
  std::fill(batches_.begin() + kBatches / 2, batches_.end(), 0);
  batch_size_ *= 2;
}

void HitSeries::hit(std::uint64_t look) {
  if (hits_ > 0 && look < next_) return;
  if (hits_ == 0 || look > next_) ++runs_;
  next_ = look + 1;
  ++hits_;
  if (look == 0) first_ = true;
  while (look / batch_size_ >= kBatches) fold();
  ++batches_[look / batch_size_];
}

namespace {

template <std::size_t N>
double between_batches(const std::array<std::uint64_t, N>& batches, std::uint64_t size,
                       std::uint64_t looks, double share) {
  const std::uint64_t whole = std::min<std::uint64_t>(looks / size, N);
  if (whole < 16 || share <= 0 || share >= 1) return 1;
  double mean = 0, squares = 0;
  for (std::uint64_t i = 0; i < whole; ++i) mean += double(batches[i]) / double(size);
  mean /= double(whole);
  for (std::uint64_t i = 0; i < whole; ++i) {
    const double off = double(batches[i]) / double(size) - mean;
    squares += off * off;
  }
  return squares / double(whole - 1) * double(size) / (share * (1 - share));
}

/// `begun` and `ended` are the changes that were seen, of so many chances.
double between_neighbours(std::uint64_t begun, std::uint64_t ended, std::uint64_t missed,
                          std::uint64_t hit) {
  const double to_held = (double(begun) + 0.5) / (double(missed) + 1);
  const double to_free = (double(ended) + 0.5) / (double(hit) + 1);
  const double rho = std::clamp(1 - to_held - to_free, 0.0, 1 - 1e-12);
  return (1 + rho) / (1 - rho);
}

}  // namespace

double HitSeries::autocorrelation(std::uint64_t looks) const {
  if (looks == 0) return 1;
  HitSeries folded = *this;
  while (looks / folded.batch_size_ >= kBatches) folded.fold();
  const double share = double(hits_) / double(looks);
  return std::max({1.0, between_batches(folded.batches_, folded.batch_size_, looks, share),
                   between_neighbours(runs_ - first_, runs_ - (hits_ > 0 && next_ == looks),
                                      looks - hits_, hits_)});
}

Proportion wilson(double share, double effective, double z) {
  Proportion result;
  result.share = share;
  result.effective_looks = effective;
  if (effective <= 0) return result;
  const double z2 = z * z / effective;
  const double centre = (share + z2 / 2) / (1 + z2);
  const double half =
      z / (1 + z2) * std::sqrt(share * (1 - share) / effective + z2 / (4 * effective));
  // Rounding must not exclude what was seen.
  result.low = std::clamp(centre - half, 0.0, share);
  result.high = std::clamp(centre + half, share, 1.0);
  return result;
}

Proportion proportion(const HitSeries& series, std::uint64_t looks, double z) {
  if (looks == 0) return {};
  const double effective = double(looks) / series.autocorrelation(looks);
  Proportion result = wilson(double(series.hits()) / double(looks), effective, z);
  result.looks = looks;
  result.hits = series.hits();
  return result;
}

}  // namespace forkscope
