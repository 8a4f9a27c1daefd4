#include "detector/inspect/process_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>

namespace forkscope {

std::string ProcessMemory::text(std::uint64_t address, std::size_t most) {
  std::string text;
  constexpr std::uint64_t kPiece = 64;  // never over the end of a page, which may be the last one
  while (text.size() < most) {
    char piece[kPiece];
    const std::size_t size = std::min<std::size_t>(kPiece - address % kPiece, most - text.size());
    if (!read(address, std::as_writable_bytes(std::span(piece, size)))) return {};
    const auto* end = static_cast<const char*>(std::memchr(piece, '\0', size));
    text.append(piece, end != nullptr ? std::size_t(end - piece) : size);
    if (end != nullptr) break;
    address += size;
  }
  return text;
}

bool LiveMemory::read(std::uint64_t address, std::span<std::byte> out) {
  if (out.empty()) return true;
  iovec ours{out.data(), out.size()};
  iovec theirs{reinterpret_cast<void*>(address), out.size()};
  const auto size = static_cast<ssize_t>(out.size());
  if (process_vm_readv(pid_, &ours, 1, &theirs, 1, 0) == size) return true;
  // A seccomp filter or a kernel without the call; /proc/PID/mem also reads what has no read right.
  if (!tried_mem_) {
    tried_mem_ = true;
    mem_ = UniqueFd(open(fmt::format("/proc/{}/mem", pid_).c_str(), O_RDONLY | O_CLOEXEC));
  }
  return mem_ && pread(mem_.get(), out.data(), out.size(), static_cast<off_t>(address)) == size;
}

std::size_t LiveMemory::gather(std::span<Piece> pieces) {
  constexpr std::size_t kMost = 512;  // of IOV_MAX 1024
  std::array<iovec, kMost> ours, theirs;
  std::size_t done = 0;
  for (Piece& piece : pieces) piece.read = false;
  for (std::size_t first = 0; first < pieces.size();) {
    const std::size_t count = std::min(kMost, pieces.size() - first);
    for (std::size_t i = 0; i < count; ++i) {
      const Piece& piece = pieces[first + i];
      ours[i] = {piece.out.data(), piece.out.size()};
      theirs[i] = {reinterpret_cast<void*>(piece.address), piece.out.size()};
    }
    ssize_t size = process_vm_readv(pid_, ours.data(), count, theirs.data(), count, 0);
    if (size < 0 && errno != EFAULT) {  // not to be had at all here: one by one
      for (; first < pieces.size(); ++first)
        done += pieces[first].read = read(pieces[first].address, pieces[first].out);
      return done;
    }
    // It stops at the first place that cannot be read, which is left out.
    std::size_t i = 0;
    for (; i < count && size >= ssize_t(ours[i].iov_len); ++i) {
      size -= ssize_t(ours[i].iov_len);
      pieces[first + i].read = true;
      ++done;
    }
    first += i < count ? i + 1 : count;
  }
  return done;
}

}  // namespace forkscope
