// Where the bytes of a process come from, apart from what they mean: a living process, a core file,
// a test. Not thread-safe.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <span>
#include <string>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope {

class ProcessMemory {
 public:
  virtual ~ProcessMemory() = default;
  /// All of `out`, or false. Never stops the process.
  virtual bool read(std::uint64_t address, std::span<std::byte> out) = 0;

  template <class T>
  std::optional<T> get(std::uint64_t address) {
    T value;
    if (!read(address, std::as_writable_bytes(std::span(&value, 1)))) return std::nullopt;
    return value;
  }
  /// A string up to its NUL or `most` bytes; empty when unreadable.
  std::string text(std::uint64_t address, std::size_t most = 4096);
};

/// Of a living process, through process_vm_readv(2) and /proc/PID/mem. Bytes may change between two
/// reads.
class LiveMemory final : public ProcessMemory {
 public:
  explicit LiveMemory(pid_t pid) : pid_(pid) {}
  bool read(std::uint64_t address, std::span<std::byte> out) override;

  /// Many places in one system call or few, in this order and as close in time as can be. Gives how
  /// many were read; those that were not have `read` false.
  struct Piece {
    std::uint64_t address = 0;
    std::span<std::byte> out;
    bool read = false;
  };
  std::size_t gather(std::span<Piece> pieces);

 private:
  pid_t pid_;
  UniqueFd mem_;    ///< /proc/PID/mem, opened when it is first needed
  bool tried_mem_ = false;
};

}  // namespace forkscope
