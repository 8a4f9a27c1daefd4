// Appends records to the session's arena (format: detector/record/record.hpp).
//
// Lock-free: an add to reserve, a store to publish. Thread-safe, async-signal-safe, and works in
// forked children, as the mapping is shared and no descriptor is kept: nothing the program closes,
// reuses, chroots or fills up can reach it. Where a session cannot be opened, attached() is false
// and every reservation fails.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstring>

#include "detector/record/record.hpp"

namespace forkscope {

class Arena {
 public:
  /// Maps DIRECTORY/records; creates and allocates the file when it is not there (no command).
  /// Returns null or one clause that says what failed.
  const char* open(const char* directory);
  /// open() gives it where the limit of address space leaves no room: counted in the session.
  static const char kNoRoom[];
  bool attached() const { return header_ != nullptr; }
  record::ArenaHeader* header() { return header_; }

  /// More than its share is used: what orphans nothing is only counted (kArenaBoringEighths).
  bool crowded() const;

  /// Counts what happened once more in the session.
  struct Repeat {
    bool first = false;  ///< nobody else has counted it: to be written
    std::uint32_t index = 0;
  };
  Repeat repeat(std::uint64_t key);

  /// Space for one record of `payload` bytes; null data when there is none (counted as dropped).
  struct Space {
    std::byte* data = nullptr;
    std::uint64_t offset = 0;
    std::uint32_t size = 0;
    explicit operator bool() const { return data != nullptr; }
    std::byte* payload() const { return data + sizeof(record::RecordHeader); }
  };
  /// Whether a record of another process that ends there can be looked at here: where address space
  /// is limited, less is mapped.
  bool reaches(std::uint64_t end) {
    return end <= accessible_.load(std::memory_order_relaxed) || open_up(end);
  }

  /// Bytes that can be written just now.
  std::uint64_t room() const;

  enum class For { kRecord, kFinding };  ///< the last eighth is kept for findings
  Space reserve(std::uint64_t payload, For use = For::kRecord);
  /// Writes the header and makes the record visible to readers.
  void publish(const Space& space, record::Type type, std::int32_t pid, std::int32_t tid,
               std::uint32_t image, std::uint64_t time, bool probe = false);

 private:
  bool open_up(std::uint64_t end);

  record::ArenaHeader* header_ = nullptr;
  std::uint64_t mapped_ = 0;  ///< bytes of address space
  /// Bytes of it that may be touched: the file had them when somebody here last needed more. The
  /// rest is PROT_NONE, for beyond the file's end is SIGBUS (a leak checker reads what it may).
  std::atomic<std::uint64_t> accessible_{0};
  std::atomic<bool> cramped_{false};  ///< was counted as such
};

/// Fills a reserved payload front to back.
class Filler {
 public:
  explicit Filler(std::byte* at) : at_(at) {}
  template <typename T>
  T* put(const T& value) {
    std::memcpy(at_, &value, sizeof value);
    auto* written = reinterpret_cast<T*>(at_);
    at_ += sizeof value;
    return written;
  }
  void bytes(const void* data, std::size_t size) {
    if (size == 0) return;  // `data` may be null then, which memcpy must not be given
    std::memcpy(at_, data, size);
    at_ += size;
  }

 private:
  std::byte* at_;
};

}  // namespace forkscope
