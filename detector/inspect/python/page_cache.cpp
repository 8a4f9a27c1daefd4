#include "detector/inspect/python/page_cache.hpp"

#include <algorithm>
#include <cstring>

namespace forkscope::python {

const PageCache::Page& PageCache::page(std::uint64_t number) {
  if (pages_.size() >= kMostPages) pages_.clear();
  const auto [at, fresh] = pages_.try_emplace(number);
  if (fresh) at->second.readable = memory_.read(number * kPage, at->second.bytes);
  return at->second;
}

bool PageCache::read(std::uint64_t address, std::span<std::byte> out) {
  if (address > UINT64_MAX - out.size()) return false;
  // Long tables once, straight into their place.
  if (out.size() > kPage) return memory_.read(address, out);
  while (!out.empty()) {
    const Page& from = page(address / kPage);
    const std::uint64_t offset = address % kPage;
    const std::size_t size = std::min<std::size_t>(kPage - offset, out.size());
    // A mapping may end within a page of this size in a core file, or in a test.
    if (!from.readable) return memory_.read(address, out);
    std::memcpy(out.data(), from.bytes.data() + offset, size);
    address += size;
    out = out.subspan(size);
  }
  return true;
}

}  // namespace forkscope::python
