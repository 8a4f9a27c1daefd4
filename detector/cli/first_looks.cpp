#include "detector/cli/first_looks.hpp"

#include <exception>
#include <utility>

#include "detector/inspect/first_look.hpp"
#include "detector/cli/threads.hpp"

namespace forkscope::cli {
namespace {

using namespace std::chrono_literals;

/// Whoever asks wakes us; this is for the case that its wake-up was forbidden to it.
constexpr auto kLongestSleep = 1s;
/// Findings beyond these are told as the records have them.
constexpr std::size_t kMostKept = 4096;

}  // namespace

FirstLooks::FirstLooks(const ArenaFile& arena, std::function<void()> woken)
    : arena_(arena), woken_(std::move(woken)) {}

FirstLooks::~FirstLooks() { stop(); }

void FirstLooks::start() {
  arena_.take_looks(true);
  thread_ = start_thread("findings lack what a look at the process adds", [this] { run(); });
}

void FirstLooks::stop() {
  if (!thread_.joinable()) return;
  arena_.take_looks(false);
  stopping_ = true;
  arena_.end_wait();
  thread_.join();
}

std::vector<FirstLook> FirstLooks::taken() const {
  std::lock_guard lock(mutex_);
  return taken_;
}

void FirstLooks::run() {
  std::uint32_t told = 0;
  while (true) {
    const bool last = stopping_;
    const std::uint32_t wake = arena_.wake();
    const std::vector<ArenaFile::Look> looks = arena_.looks();
    for (const ArenaFile::Look& asked : looks) answer(asked);
    if (last) return;
    // Who is told reads all the records: not where only the time is over.
    if (wake != told || !looks.empty()) woken_();
    told = wake;
    arena_.wait_for_wake(wake, kLongestSleep);
  }
}

void FirstLooks::answer(const ArenaFile::Look& asked) {
  try {
    auto look = first_look({asked.pid, asked.tid, asked.holder_tid, arena_.inode()});
    std::lock_guard lock(mutex_);
    if (look && taken_.size() < kMostKept) {
      look->record = asked.record;
      taken_.push_back(*std::move(look));
    }
  } catch (const std::exception&) {
    // Memory that is short, a file of the program that cannot be read: there is no look.
  }
  arena_.answer_look(asked.record);
}

}  // namespace forkscope::cli
