// A structure of another process, read in one piece, and its fields taken out by offset.
// Thread-safe: functions only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "detector/inspect/process_memory.hpp"

namespace forkscope::python {

/// Empty when not all of it can be read.
inline std::vector<std::byte> read_span(ProcessMemory& memory, std::uint64_t address,
                                        std::size_t size) {
  std::vector<std::byte> bytes(size);
  if (!memory.read(address, bytes)) bytes.clear();
  return bytes;
}

/// 0 when it does not lie within the bytes.
template <class T>
T field(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  if (offset <= bytes.size() && sizeof value <= bytes.size() - offset) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  }
  return value;
}

}  // namespace forkscope::python
