#include "detector/inspect/process_memory.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/uio.h>

#include <algorithm>
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

}  // namespace forkscope
