#include "detector/tracker/forked_ranges.hpp"

#include "detector/tracker/sys.hpp"

namespace forkscope {

// mincore(2): ENOMEM where nothing is mapped, whatever the protection.
bool is_mapped(std::uint64_t address) {
  constexpr std::uint64_t kPage = 4096;
  unsigned char resident;
  return sys::call(SYS_mincore, long(address & ~(kPage - 1)), kPage, sys::arg(&resident)) == 0;
}

ForkedRange* ForkedRanges::claim() {
  auto take = [](ForkedRange& range, ForkedRange::State from) {
    return range.state.compare_exchange_strong(from, ForkedRange::kBusy);
  };
  for (std::uint32_t i = 0; i < kRanges; ++i) {
    if (!take(ranges_[i], ForkedRange::kFree)) continue;
    std::uint32_t used = used_.load(std::memory_order_relaxed);
    while (used < i + 1 && !used_.compare_exchange_weak(used, i + 1, std::memory_order_release)) {
    }
    return &ranges_[i];
  }
  for (ForkedRange& range : ranges_)  // what was unmapped since
    if (!is_mapped(range.begin) && take(range, ForkedRange::kLive)) return &range;
  return nullptr;
}

void ForkedRanges::add(std::uint64_t begin, std::uint64_t end, int advice, const void* caller) {
  ForkedRange* range = claim();
  if (range == nullptr) return;
  range->version.fetch_add(1, std::memory_order_relaxed);
  range->begin.store(begin, std::memory_order_release);
  range->end.store(end, std::memory_order_release);
  range->advice.store(advice, std::memory_order_relaxed);
  range->caller.store(caller, std::memory_order_relaxed);
  range->mapped.store(0, std::memory_order_relaxed);
  range->state.store(ForkedRange::kLive, std::memory_order_release);
}

void ForkedRanges::mark(std::uint64_t begin, std::uint64_t end, int advice, const void* caller) {
  bool done = false;
  each([&](ForkedRange& range) {
    if (range.state != ForkedRange::kLive || range.advice != advice || range.caller != caller)
      return true;
    std::uint64_t first, last;
    if (!range.read(first, last)) return true;
    if (first <= begin && last >= end) done = true;
    if (last == begin) {  // an allocator that grows: one range, not one a step
      range.end.store(end, std::memory_order_relaxed);
      done = true;
    }
    return !done;
  });
  if (done) return;
  unmark(begin, end, advice);
  add(begin, end, advice, caller);
}

void ForkedRanges::unmark(std::uint64_t begin, std::uint64_t end, int advice) {
  each([&](ForkedRange& range) {
    std::uint64_t first, last;
    if (!range.read(first, last)) return true;
    if (range.state != ForkedRange::kLive || range.advice != advice) return true;
    if (end <= first || begin >= last) return true;
    if (begin <= first && end >= last) {
      range.state.store(ForkedRange::kFree, std::memory_order_release);
    } else if (begin <= first) {
      range.begin.store(end, std::memory_order_relaxed);
    } else {
      range.end.store(begin, std::memory_order_relaxed);
      if (end < last) add(end, last, advice, range.caller);
    }
    return true;
  });
}

}  // namespace forkscope
