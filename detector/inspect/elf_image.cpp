#include "detector/inspect/elf_image.hpp"

#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstring>

namespace forkscope {
namespace {

constexpr std::uint64_t kPage = 4096;
constexpr std::size_t kMaxSegments = 1024;

bool read_exactly(int fd, std::uint64_t offset, void* out, std::size_t size) {
  return pread(fd, out, size, off_t(offset)) == ssize_t(size);
}

}  // namespace

std::unique_ptr<ElfImage> ElfImage::open(const std::string& path) {
  // O_NONBLOCK: a FIFO under the recorded name must not block us.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (!fd || fstat(fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) return nullptr;
  std::unique_ptr<ElfImage> image(new ElfImage(std::move(fd)));
  return image->load() ? std::move(image) : nullptr;
}

std::unique_ptr<ElfImage> ElfImage::copy(std::span<const std::byte> bytes) {
  UniqueFd fd(memfd_create("forkscope", MFD_CLOEXEC));
  if (!fd || write(fd.get(), bytes.data(), bytes.size()) != ssize_t(bytes.size())) return nullptr;
  std::unique_ptr<ElfImage> image(new ElfImage(std::move(fd)));
  return image->load() ? std::move(image) : nullptr;
}

bool ElfImage::load() {
  Elf64_Ehdr header{};
  constexpr unsigned char kByteOrder =
      std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (!read_exactly(fd_.get(), 0, &header, sizeof header) ||
      std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != kByteOrder || header.e_phentsize != sizeof(Elf64_Phdr) ||
      header.e_phnum > kMaxSegments) {
    return false;
  }
  std::vector<Elf64_Phdr> table(header.e_phnum);
  if (!read_exactly(fd_.get(), header.e_phoff, table.data(), table.size() * sizeof(Elf64_Phdr))) {
    return false;
  }
  for (const Elf64_Phdr& entry : table) {
    if (entry.p_type == PT_GNU_EH_FRAME) eh_frame_hdr_ = entry.p_vaddr;
    if (entry.p_type != PT_LOAD || entry.p_filesz == 0) continue;
    const std::uint64_t lead = entry.p_vaddr % kPage;
    const std::uint64_t end = entry.p_vaddr + entry.p_filesz;
    if (lead > entry.p_offset || end < entry.p_vaddr || end > UINT64_MAX - kPage) continue;
    segments_.push_back({entry.p_vaddr - lead, (end + kPage - 1) / kPage * kPage,
                         entry.p_offset - lead, (entry.p_flags & PF_W) != 0,
                         (entry.p_flags & PF_X) != 0});
  }
  return true;
}

const ElfImage::Block& ElfImage::block(std::uint64_t index) {
  auto [at, fresh] = blocks_.try_emplace(index);
  if (fresh && index < std::uint64_t(INT64_MAX) / kBlock) {
    at->second.resize(kBlock);
    const ssize_t got = pread(fd_.get(), at->second.data(), kBlock, off_t(index * kBlock));
    at->second.resize(got > 0 ? std::size_t(got) : 0);
  }
  return at->second;
}

bool ElfImage::read(std::uint64_t address, std::span<std::byte> out, Segments which) {
  for (const Segment& segment : segments_) {
    if ((segment.writable && which == Segments::kReadOnly) || address < segment.start ||
        address >= segment.end || out.size() > segment.end - address) {
      continue;
    }
    std::uint64_t offset = segment.offset + (address - segment.start);
    while (!out.empty()) {
      const Block& bytes = block(offset / kBlock);
      const std::size_t in_block = offset % kBlock;
      if (in_block >= bytes.size()) {
        // Past the end of the file the kernel shows zeros up to the end of the page.
        std::fill(out.begin(), out.end(), std::byte{0});
        return true;
      }
      const std::size_t n = std::min(out.size(), bytes.size() - in_block);
      std::copy_n(bytes.begin() + std::ptrdiff_t(in_block), n, out.begin());
      out = out.subspan(n);
      offset += n;
    }
    return true;
  }
  return false;
}

bool ElfImage::executable(std::uint64_t address) const {
  return std::any_of(segments_.begin(), segments_.end(), [address](const Segment& segment) {
    return segment.executable && address >= segment.start && address < segment.end;
  });
}

bool ElfImage::read_file_offset(std::uint64_t offset, std::span<std::byte> out) {
  for (const Segment& segment : segments_) {
    if (offset < segment.offset || offset - segment.offset >= segment.end - segment.start) continue;
    if (read(segment.start + (offset - segment.offset), out)) return true;
  }
  return false;
}

bool ElfImage::executable_at_offset(std::uint64_t offset) const {
  return std::any_of(segments_.begin(), segments_.end(), [offset](const Segment& segment) {
    return segment.executable && offset >= segment.offset &&
           offset - segment.offset < segment.end - segment.start;
  });
}

}  // namespace forkscope
