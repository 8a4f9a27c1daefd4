// An ELF file as the loader maps it: read-only bytes by link-time address, and where its unwind
// tables are. Reads with pread and a small cache, not mmap: a file that is truncated meanwhile must
// not kill the command with SIGBUS. Never trusts a field of the file. Not thread-safe.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "detector/inspect/unique_fd.hpp"

namespace forkscope {

class ElfImage {
 public:
  /// Null unless it is a regular file in ELF64 of the native byte order.
  static std::unique_ptr<ElfImage> open(const std::string& path);
  /// Of bytes that are in no file: the vDSO, copied from a process.
  static std::unique_ptr<ElfImage> copy(std::span<const std::byte> bytes);
  enum class Segments {
    kReadOnly,  ///< those the program cannot write: the same in every process
    kAll,       ///< data as well, as it was before relocation
  };
  /// Bytes at a link-time address. False when they are not all there.
  bool read(std::uint64_t address, std::span<std::byte> out, Segments which = Segments::kReadOnly);
  /// Whether the address lies in an executable segment.
  bool executable(std::uint64_t address) const;

  /// Bytes of the file that lie in a segment the program cannot write, by their offset.
  bool read_file_offset(std::uint64_t offset, std::span<std::byte> out);
  /// Whether the offset lies in an executable segment.
  bool executable_at_offset(std::uint64_t offset) const;

  /// Link-time address of .eh_frame_hdr, 0 without.
  std::uint64_t eh_frame_hdr() const { return eh_frame_hdr_; }
  int descriptor() const { return fd_.get(); }

 private:
  /// Pages of a segment that have a file behind them.
  struct Segment {
    std::uint64_t start, end;  ///< link-time addresses, rounded to pages as mmap does
    std::uint64_t offset;      ///< of `start` in the file
    bool writable, executable;
  };
  static constexpr std::size_t kBlock = 16 << 10;
  using Block = std::vector<std::byte>;

  explicit ElfImage(UniqueFd fd) : fd_(std::move(fd)) {}
  bool load();
  const Block& block(std::uint64_t index);

  UniqueFd fd_;
  std::uint64_t eh_frame_hdr_ = 0;
  std::vector<Segment> segments_;
  std::unordered_map<std::uint64_t, Block> blocks_;
};

}  // namespace forkscope
