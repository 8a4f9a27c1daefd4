// The ranges that fork leaves out, against a model of pages, and by several threads at once.
#include <sys/mman.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <memory>
#include <random>
#include <vector>

#include "detector/tracker/forked_ranges.hpp"
#include "tests/tracker/unit/observed.hpp"

using namespace forkscope;

namespace {

constexpr std::uint64_t kPage = 4096;

class Pages {
 public:
  explicit Pages(std::uint64_t count) : count_(count) {
    memory_ = mmap(nullptr, count * kPage, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory_ == MAP_FAILED) FAIL("no memory");
  }
  ~Pages() { munmap(memory_, count_ * kPage); }
  std::uint64_t at(std::uint64_t page) const {
    return reinterpret_cast<std::uint64_t>(memory_) + page * kPage;
  }

 private:
  std::uint64_t count_;
  void* memory_;
};

bool marked(ForkedRanges& ranges, std::uint64_t address, int advice) {
  bool found = false;
  ranges.each([&](const ForkedRange& range) {
    found = found || (range.advice == advice && range.holds(address));
    return true;
  });
  return found;
}

const void* caller(int number) { return reinterpret_cast<const void*>(0x1000 + number * 16L); }

}  // namespace

TEST_CASE("ranges say what a model of pages says, after every one of 20,000 random calls") {
  constexpr std::uint64_t kPages = 48;
  Pages pages(kPages);
  std::minstd_rand random(7);
  for (int run = 0; run < 20; ++run) {
    auto ranges = std::make_unique<ForkedRanges>();
    std::vector<bool> model[2] = {std::vector<bool>(kPages), std::vector<bool>(kPages)};
    const int advices[] = {MADV_DONTFORK, MADV_WIPEONFORK};
    CHECK(ranges->empty());
    for (int i = 0; i < 1000; ++i) {
      std::uint64_t first = random() % kPages,
                    count = 1 + random() % std::min<std::uint64_t>(8, kPages - first);
      bool set = random() % 2 == 0;
      int which = random() % 2;
      std::uint64_t begin = pages.at(first), end = pages.at(first + count);
      if (set)
        ranges->mark(begin, end, advices[which], caller(int(random() % 3)));
      else
        ranges->unmark(begin, end, advices[which]);
      for (std::uint64_t page = first; page < first + count; ++page) model[which][page] = set;
      std::uint64_t differ = 0;
      for (int layer = 0; layer < 2; ++layer)
        for (std::uint64_t page = 0; page < kPages; ++page)
          differ += marked(*ranges, pages.at(page), advices[layer]) != model[layer][page];
      INFO("run " << run << ", step " << i);
      REQUIRE(differ == 0);
    }
  }
}

TEST_CASE("several threads that mark and unmark ranges of their own do not disturb each other") {
  constexpr int kThreads = 4;
  constexpr std::uint64_t kEach = 16;
  Pages pages(kThreads * kEach);
  auto ranges = std::make_unique<ForkedRanges>();
  std::atomic<int> wrong{0};
  test::together(kThreads, [&](int index) {
    std::minstd_rand random(unsigned(index) + 1);
    const std::uint64_t base = std::uint64_t(index) * kEach;
    std::vector<bool> model(kEach);
    for (int i = 0; i < 2000; ++i) {
      std::uint64_t page = random() % kEach;
      bool set = random() % 2 == 0;
      std::uint64_t begin = pages.at(base + page), end = begin + kPage;
      if (set)
        ranges->mark(begin, end, MADV_DONTFORK, caller(index));
      else
        ranges->unmark(begin, end, MADV_DONTFORK);
      model[page] = set;
      std::uint64_t other = random() % kEach;
      wrong += marked(*ranges, pages.at(base + page), MADV_DONTFORK) != set;
      wrong += marked(*ranges, pages.at(base + other), MADV_DONTFORK) != model[other];
    }
  });
  CHECK(wrong == 0);
}

TEST_CASE("ranges that were unmapped since make room for new ones") {
  constexpr std::uint64_t kMany = 1000;
  auto ranges = std::make_unique<ForkedRanges>();
  for (std::uint64_t i = 0; i < kMany; ++i) {
    Pages page(1);
    ranges->mark(page.at(0), page.at(1), MADV_DONTFORK, caller(int(i)));
    CHECK(marked(*ranges, page.at(0), MADV_DONTFORK));
  }
}
