#include "detector/cli/headlines.hpp"

#include <algorithm>
#include <exception>
#include <memory>

#include "detector/symbols/symbols.hpp"

namespace forkscope::cli {
namespace {

using namespace std::chrono_literals;

/// How long the reporter has to tell a finding whole.
constexpr auto kPatience = 300ms;
/// A session with thousands of findings takes long to judge.
constexpr int kPausePerLook = 10;

bool any_of(const Finding& finding, const std::set<std::uint64_t>& records) {
  return std::any_of(finding.records.begin(), finding.records.end(),
                     [&](std::uint64_t record) { return records.contains(record); });
}

}  // namespace

void Headlines::start() {
  thread_ = std::thread([this] { run(); });
}

void Headlines::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  thread_.join();
}

void Headlines::expect() {
  {
    std::lock_guard lock(mutex_);
    if (expected_++ == told_) since_ = std::max(since_, Clock::now());
  }
  changed_.notify_one();
}

std::uint64_t Headlines::expected() const {
  std::lock_guard lock(mutex_);
  return expected_;
}

void Headlines::told(std::uint64_t expected) {
  std::lock_guard lock(mutex_);
  if (expected <= told_) return;
  told_ = expected;
  since_ = std::max(since_, Clock::now());  // what came meanwhile has its time, too
}

bool Headlines::claim(const Finding& finding) {
  std::lock_guard lock(mutex_);
  claimed_.insert(finding.records.begin(), finding.records.end());
  return any_of(finding, headlines_);
}

void Headlines::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (expected_ == told_) {
      changed_.wait(lock);
    } else if (const auto due = since_ + kPatience; Clock::now() < due) {
      changed_.wait_until(lock, due, [this] { return stopping_; });
    } else {
      const std::uint64_t expected = expected_;
      lock.unlock();
      const auto begin = Clock::now();
      look();
      const auto end = Clock::now();
      lock.lock();
      told_ = std::max(told_, expected);
      since_ = end + (end - begin) * kPausePerLook;
    }
  }
}

void Headlines::look() {
  try {
    // Made anew for each look: they are rare, and files of a program may change.
    const std::unique_ptr<Namer> namer = make_symbol_namer();
    for (const Finding& finding : settings_.look(*namer)) {
      std::lock_guard lock(mutex_);
      if (any_of(finding, claimed_) || any_of(finding, headlines_)) continue;
      headlines_.insert(finding.records.begin(), finding.records.end());
      settings_.print(finding);
    }
  } catch (const std::exception&) {
    // Reporter::finish() meets the same error and says it, once.
  }
}

}  // namespace forkscope::cli
