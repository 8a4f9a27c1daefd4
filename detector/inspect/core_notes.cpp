#include "detector/inspect/core_notes.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <gelf.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <span>
#include <stdexcept>

namespace forkscope {
namespace {

#if defined(__x86_64__)
constexpr int kMachine = EM_X86_64;
#else
#error "core files of this architecture are not known yet"
#endif

constexpr std::uint64_t kMostNotes = 64 << 20;  // some 500 bytes a thread, 100 a mapped file

using ElfHandle = std::unique_ptr<Elf, int (*)(Elf*)>;
using Bytes = std::span<const std::byte>;

[[noreturn]] void fail(const std::string& path, const std::string& what) {
  throw std::runtime_error(fmt::format("{} {}", path, what));
}

template <class T>
std::optional<T> value_at(Bytes bytes, std::size_t offset) {
  T value;
  if (offset > bytes.size() || bytes.size() - offset < sizeof value) return std::nullopt;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

/// count, page size, (start, end, offset in pages) for each, then their names.
std::vector<CoreMappedFile> mapped_files(Bytes note) {
  std::vector<CoreMappedFile> files;
  const auto count = value_at<std::uint64_t>(note, 0);
  const auto page = value_at<std::uint64_t>(note, 8);
  constexpr std::size_t kHead = 16, kEntry = 24;
  if (!count || !page || *count > note.size() / kEntry) return files;
  std::size_t name = kHead + std::size_t(*count) * kEntry;
  for (std::size_t i = 0; i < *count && name < note.size(); ++i) {
    const std::size_t at = kHead + i * kEntry;
    CoreMappedFile file;
    file.start = value_at<std::uint64_t>(note, at).value_or(0);
    file.end = value_at<std::uint64_t>(note, at + 8).value_or(0);
    file.offset = value_at<std::uint64_t>(note, at + 16).value_or(0) * *page;
    const auto* text = reinterpret_cast<const char*>(note.data()) + name;
    file.path.assign(text, strnlen(text, note.size() - name));
    name += file.path.size() + 1;
    if (file.start < file.end) files.push_back(std::move(file));
  }
  return files;
}

void take_note(CoreNotes& core, const std::string& path, std::uint32_t type, Bytes note) {
  switch (type) {
    case NT_PRSTATUS: {
      const auto status = value_at<elf_prstatus>(note, 0);
      if (!status) fail(path, "is damaged: a thread's registers are cut off");
      CoreStatus thread{status->pr_pid, {}};
      static_assert(sizeof status->pr_reg == sizeof thread.registers);
      std::memcpy(&thread.registers, &status->pr_reg, sizeof thread.registers);
      core.threads.push_back(thread);
      break;
    }
    case NT_PRPSINFO:
      core.process = value_at<elf_prpsinfo>(note, 0);
      break;
    case NT_FILE:
      core.files = mapped_files(note);
      break;
    case NT_AUXV:
      core.auxv_bytes.assign(note.begin(), note.end());
      for (std::size_t i = 0; i + 16 <= note.size(); i += 16) {
        const auto key = *value_at<std::uint64_t>(note, i);
        if (key == 0) break;  // AT_NULL
        core.auxv[key] = *value_at<std::uint64_t>(note, i + 8);
      }
      break;
    default:
      break;
  }
}

void take_notes(CoreNotes& core, const std::string& path, Elf* elf, const GElf_Phdr& header) {
  if (header.p_filesz > kMostNotes) fail(path, "is damaged: its notes are too large");
  if (header.p_offset > core.file_size || header.p_filesz > core.file_size - header.p_offset) {
    fail(path,
         "is cut off before the registers of its threads: the disk was full, or a limit "
         "(ulimit -c) too low, when it was written");
  }
  Elf_Data* data =
      elf_getdata_rawchunk(elf, std::int64_t(header.p_offset), header.p_filesz, ELF_T_NHDR);
  if (data == nullptr) fail(path, "is damaged: its notes cannot be read");
  GElf_Nhdr note;
  std::size_t name = 0, description = 0;
  for (std::size_t offset = 0;
       (offset = gelf_getnote(data, offset, &note, &name, &description)) > 0;) {
    const auto* bytes = static_cast<const std::byte*>(data->d_buf);
    const auto* owner = reinterpret_cast<const char*>(bytes) + name;
    if (note.n_namesz != 5 || std::memcmp(owner, "CORE", 5) != 0) continue;
    take_note(core, path, note.n_type, Bytes(bytes + description, note.n_descsz));
  }
}

void check_kind(const std::string& path, int fd, const GElf_Ehdr* header) {
  unsigned char identity[EI_NIDENT];
  if (pread(fd, identity, sizeof identity, 0) != ssize_t(sizeof identity) ||
      std::memcmp(identity, ELFMAG, SELFMAG) != 0) {
    fail(path, "is not a core file: it does not begin as ELF files do");
  }
  if (identity[EI_CLASS] == ELFCLASS32) {
    fail(path, "is the core file of a 32-bit program, which forkscope cannot read");
  }
  constexpr int kOrder = std::endian::native == std::endian::little ? ELFDATA2LSB : ELFDATA2MSB;
  if (header == nullptr) fail(path, "is damaged: its ELF header cannot be read");
  if (identity[EI_DATA] != kOrder || header->e_machine != kMachine) {
    fail(path, fmt::format("comes from another processor (ELF machine {})", header->e_machine));
  }
  if (header->e_type != ET_CORE) {
    fail(path, "is not a core file but a program or library; give the core file first");
  }
}

}  // namespace

CoreNotes read_core(const std::string& path) {
  CoreNotes core;
  core.fd = UniqueFd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!core.fd) fail(path, fmt::format("cannot be opened: {}", std::strerror(errno)));
  struct stat info {};
  if (fstat(core.fd.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    fail(path, "is not a core file: it is not a regular file");
  }
  core.file_size = std::uint64_t(info.st_size);
  elf_version(EV_CURRENT);
  // Not mapped into memory: a core file that is cut off meanwhile must not kill us with SIGBUS.
  const ElfHandle elf(elf_begin(core.fd.get(), ELF_C_READ, nullptr), &elf_end);
  GElf_Ehdr header;
  check_kind(path, core.fd.get(), elf ? gelf_getehdr(elf.get(), &header) : nullptr);
  std::size_t count = 0;
  if (elf_getphdrnum(elf.get(), &count) != 0 || count == 0) {
    fail(path, "is damaged: it has no table of segments");
  }
  for (std::size_t i = 0; i < count; ++i) {
    GElf_Phdr segment;
    if (gelf_getphdr(elf.get(), int(i), &segment) == nullptr) {
      fail(path, "is damaged: its table of segments is cut off");
    }
    const std::uint64_t end = segment.p_vaddr + segment.p_memsz;
    if (segment.p_type == PT_NOTE) take_notes(core, path, elf.get(), segment);
    if (segment.p_type != PT_LOAD || end <= segment.p_vaddr) continue;
    const std::uint64_t size = std::min<std::uint64_t>(segment.p_filesz, segment.p_memsz);
    if (segment.p_offset > UINT64_MAX / 2 || size > UINT64_MAX / 2) continue;
    core.wanted_size = std::max(core.wanted_size, segment.p_offset + size);
    core.segments.push_back({segment.p_vaddr, end, segment.p_offset, size,
                             (segment.p_flags & PF_R) != 0, (segment.p_flags & PF_W) != 0,
                             (segment.p_flags & PF_X) != 0});
  }
  if (core.threads.empty()) fail(path, "is damaged: it has the registers of no thread");
  std::sort(core.segments.begin(), core.segments.end(),
            [](const CoreSegment& a, const CoreSegment& b) { return a.start < b.start; });
  return core;
}

}  // namespace forkscope
