// The directory of threads used by several threads at once, as threads come and go while others
// look through all of them.
#include <atomic>
#include <catch2/catch.hpp>
#include <set>
#include <vector>

#include "detector/tracker/lost_threads.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;

TEST_CASE("threads that allocate and release records at once never share one") {
  constexpr int kThreads = 4, kRounds = 2000, kAtOnce = 5;
  static Registry own;  // too large for a stack
  std::vector<std::atomic<int>> users(kThreads * (kAtOnce + 1) + Registry::kChunkSize);
  std::atomic<int> shared{0}, refused{0};
  test::together(kThreads, [&](int) {
    for (int round = 0; round < kRounds; ++round) {
      ThreadRecord* mine[kAtOnce];
      for (ThreadRecord*& record : mine) {
        record = own.allocate();
        if (record == nullptr || record->index >= users.size()) {
          ++refused;
          record = nullptr;
          continue;
        }
        shared += users[record->index].fetch_add(1) != 0;
        shared += own.at(record->index) != record;
        shared += record->life.load() != Life::kStarting || !record->empty();
      }
      for (ThreadRecord* record : mine) {
        if (record == nullptr) continue;
        users[record->index].fetch_sub(1);
        own.release(*record);
      }
    }
  });
  CHECK(shared == 0);
  CHECK(refused == 0);
  CHECK(own.size() <= kThreads * kAtOnce);  // used again, not added to
  int left = 0;
  own.each([&](const ThreadRecord&) { return ++left > 0; });
  CHECK(left == 0);
}

TEST_CASE("who looks through all threads sees those that live throughout, whoever comes and goes") {
  constexpr int kComing = 3, kRounds = 3000, kLooks = 200;
  std::int32_t here = libc_tid();
  std::atomic<int> coming{kComing};
  std::atomic<int> missed{0}, looks{0};
  test::together(kComing + 1, [&](int index) {
    if (index > 0) {
      for (int round = 0; round < kRounds || looks < kLooks; ++round) {
        ThreadRecord* record = registry.allocate();
        if (record == nullptr) continue;
        record->life.store(Life::kAlive, std::memory_order_release);
        registry.release(*record);
      }
      --coming;
      return;
    }
    do {
      bool found = false;
      registry.each([&](const ThreadRecord& thread) {
        found = found || (!is_lost(thread) && &thread == current());
        return true;
      });
      missed += !found || !lives_here(here) || !lives_here(libc_tid());
      ++looks;
    } while (coming != 0);
  });
  CHECK(looks >= kLooks);
  CHECK(missed == 0);
}

TEST_CASE("every thread that makes itself known is counted, and gone when it ends") {
  constexpr int kThreads = 8;
  std::uint32_t before = process.living;
  pthread_barrier_t all;
  pthread_barrier_init(&all, nullptr, kThreads);
  std::atomic<std::uint32_t> most{0};
  std::atomic<int> wrong{0};
  for (int round = 0; round < 20; ++round) {
    test::together(kThreads, [&](int) {
      ThreadRecord* self = current();
      wrong += self == nullptr || self->tid != libc_tid();
      pthread_barrier_wait(&all);
      std::uint32_t now = process.living;
      std::uint32_t seen = most.load();
      while (seen < now && !most.compare_exchange_weak(seen, now)) continue;
      pthread_barrier_wait(&all);
    });
    CHECK(process.living == before);
  }
  pthread_barrier_destroy(&all);
  CHECK(wrong == 0);
  CHECK(most == before + kThreads);
}
