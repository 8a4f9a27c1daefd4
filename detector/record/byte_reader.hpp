// Takes values from the front of untrusted bytes; every step is checked against what is left.
// Not thread-safe; no allocation but that of the values asked for. Used by the command only.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace forkscope {

class ByteReader {
 public:
  explicit ByteReader(std::span<const std::byte> bytes) : rest_(bytes) {}

  template <typename T>
  [[nodiscard]] bool read(T& value) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (rest_.size() < sizeof(T)) return false;
    // Copied, not cast: the arena may be mapped at any alignment and may be damaged.
    std::memcpy(&value, rest_.data(), sizeof(T));
    rest_ = rest_.subspan(sizeof(T));
    return true;
  }

  /// The count is checked before anything is allocated for it.
  template <typename T>
  [[nodiscard]] bool read(std::vector<T>& values, std::uint64_t count) {
    static_assert(std::is_trivially_copyable_v<T>);
    if (count > rest_.size() / sizeof(T)) return false;
    values.resize(count);
    if (count > 0) std::memcpy(values.data(), rest_.data(), count * sizeof(T));
    rest_ = rest_.subspan(count * sizeof(T));
    return true;
  }

  [[nodiscard]] bool read(std::string& text, std::uint64_t length) {
    if (length > rest_.size()) return false;
    text.assign(reinterpret_cast<const char*>(rest_.data()), length);
    rest_ = rest_.subspan(length);
    return true;
  }

  /// Skips padding, which may be missing at the very end.
  void skip(std::uint64_t count) {
    rest_ = rest_.subspan(std::min<std::uint64_t>(count, rest_.size()));
  }

  std::size_t left() const { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

}  // namespace forkscope
