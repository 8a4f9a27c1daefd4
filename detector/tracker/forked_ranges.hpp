// The ranges of memory that fork leaves out or wipes, as madvise(2) was told.
//
// Lock-free and of fixed size: a slot is claimed by its state, published by it, and shrunk by
// single stores, so that fork and signals find it usable at any instruction. Ranges that were
// unmapped since stay until room is needed; whoever asks has to look at the kernel. Thread-safe,
// async-signal-safe, fork-safe.
#pragma once

#include <atomic>
#include <cstdint>

namespace forkscope {

struct ForkedRange {
  enum State : std::uint32_t { kFree, kBusy, kLive, kLost };

  std::atomic<State> state{kFree};
  std::atomic<std::uint64_t> begin, end;
  std::atomic<int> advice{0};  ///< MADV_DONTFORK or MADV_WIPEONFORK
  std::atomic<const void*> caller{nullptr};
  std::atomic<std::uint32_t> mapped;  ///< by before_fork(): bit 0 the first page, bit 1 the last
  std::uint32_t generation = 0;       ///< kLost: of the last process that had it

  std::atomic<std::uint32_t> version{0};  ///< counts the uses of the slot

  /// Both ends of one range: false if the slot went to another meanwhile.
  bool read(std::uint64_t& first, std::uint64_t& last) const {
    std::uint32_t before = version.load(std::memory_order_acquire);
    first = begin.load(std::memory_order_acquire);
    last = end.load(std::memory_order_acquire);
    return version.load(std::memory_order_relaxed) == before;
  }
  bool holds(std::uint64_t address) const {
    std::uint64_t first, last;
    return read(first, last) && address >= first && address < last;
  }
};

class ForkedRanges {
 public:
  void mark(std::uint64_t begin, std::uint64_t end, int advice, const void* caller);
  void unmark(std::uint64_t begin, std::uint64_t end, int advice);
  bool empty() const { return used_.load(std::memory_order_relaxed) == 0; }

  /// Calls visit(range) for those that are kLive or kLost, until it returns false.
  template <typename Visit>
  void each(Visit&& visit) {
    std::uint32_t used = used_.load(std::memory_order_acquire);
    for (std::uint32_t i = 0; i < used; ++i)
      if (ranges_[i].state.load(std::memory_order_acquire) >= ForkedRange::kLive)
        if (!visit(ranges_[i])) return;
  }

 private:
  ForkedRange* claim();
  void add(std::uint64_t begin, std::uint64_t end, int advice, const void* caller);

  static constexpr std::uint32_t kRanges = 256;
  ForkedRange ranges_[kRanges] = {};
  std::atomic<std::uint32_t> used_{0};  ///< slots that were ever in use
};

/// Whether the page of `address` is mapped.
bool is_mapped(std::uint64_t address);

}  // namespace forkscope
