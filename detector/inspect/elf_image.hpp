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

namespace forkscope {

class ElfImage {
 public:
  /// Null unless it is a regular file in ELF64 of the native byte order.
  static std::unique_ptr<ElfImage> open(const std::string& path);
  ~ElfImage();
  ElfImage(const ElfImage&) = delete;
  ElfImage& operator=(const ElfImage&) = delete;

  enum class Segments {
    kReadOnly,  ///< those the program cannot write: the same in every process
    kAll,       ///< data as well, as it was before relocation
  };
  /// Bytes at a link-time address. False when they are not all there.
  bool read(std::uint64_t address, std::span<std::byte> out, Segments which = Segments::kReadOnly);
  /// Whether the address lies in an executable segment.
  bool executable(std::uint64_t address) const;

  /// Link-time address of .eh_frame_hdr, 0 without.
  std::uint64_t eh_frame_hdr() const { return eh_frame_hdr_; }
  int descriptor() const { return fd_; }

 private:
  /// Pages of a segment that have a file behind them.
  struct Segment {
    std::uint64_t start, end;  ///< link-time addresses, rounded to pages as mmap does
    std::uint64_t offset;      ///< of `start` in the file
    bool writable, executable;
  };
  static constexpr std::size_t kBlock = 16 << 10;
  using Block = std::vector<std::byte>;

  explicit ElfImage(int fd) : fd_(fd) {}
  bool load();
  const Block& block(std::uint64_t index);

  int fd_;
  std::uint64_t eh_frame_hdr_ = 0;
  std::vector<Segment> segments_;
  std::unordered_map<std::uint64_t, Block> blocks_;
};

}  // namespace forkscope
