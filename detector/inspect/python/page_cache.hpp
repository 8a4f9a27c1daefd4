// Memory of a process read by whole pages, each once until told to forget them: what lies together
// is then of one moment, and takes one system call. Not thread-safe.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <unordered_map>

#include "detector/inspect/process_memory.hpp"

namespace forkscope::python {

class PageCache final : public ProcessMemory {
 public:
  explicit PageCache(ProcessMemory& memory) : memory_(memory) {}

  bool read(std::uint64_t address, std::span<std::byte> out) override;
  void forget() { pages_.clear(); }

 private:
  static constexpr std::uint64_t kPage = 4096;
  static constexpr std::size_t kMostPages = 2048;
  struct Page {
    bool readable = false;
    std::array<std::byte, kPage> bytes;
  };
  const Page& page(std::uint64_t number);

  ProcessMemory& memory_;
  std::unordered_map<std::uint64_t, Page> pages_;
};

}  // namespace forkscope::python
