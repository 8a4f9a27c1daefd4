#include "detector/inspect/core_file.hpp"

#include <elf.h>
#include <errno.h>
#include <fmt/format.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <sstream>

#include "detector/inspect/modules.hpp"
#include "detector/inspect/proc_text.hpp"
#include "detector/inspect/user_registers.hpp"

namespace forkscope {
namespace {

constexpr std::string_view kDeleted = " (deleted)";

/// Of a kind of file that is only ever mapped to be shared.
bool is_shared_memory(std::string_view path) {
  return path.starts_with("/dev/shm/") || path.starts_with("/dev/zero") ||
         path.starts_with("/memfd:") || path.starts_with("/SYSV");
}

/// The build id in the notes of an ELF file whose bytes `read` gives by link-time address.
template <class Read>
std::vector<std::byte> build_id(const Read& read) {
  Elf64_Ehdr header{};
  if (!read(0, std::as_writable_bytes(std::span(&header, 1)))) return {};
  for (unsigned i = 0; i < std::min<unsigned>(header.e_phnum, 64); ++i) {
    Elf64_Phdr segment{};
    if (!read(header.e_phoff + i * sizeof segment,
              std::as_writable_bytes(std::span(&segment, 1)))) {
      return {};
    }
    constexpr std::uint64_t kMostNotes = 4096;
    if (segment.p_type != PT_NOTE || segment.p_filesz > kMostNotes) continue;
    for (std::uint64_t at = segment.p_vaddr, end = at + segment.p_filesz; at < end;) {
      Elf64_Nhdr note{};
      if (!read(at, std::as_writable_bytes(std::span(&note, 1)))) break;
      const std::uint64_t description = at + sizeof note + (note.n_namesz + 3) / 4 * 4;
      if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && note.n_descsz <= 64) {
        std::vector<std::byte> id(note.n_descsz);
        return read(description, std::span<std::byte>(id)) ? id : std::vector<std::byte>();
      }
      at = description + (std::uint64_t(note.n_descsz) + 3) / 4 * 4;
    }
  }
  return {};
}

/// A call that only passes time and has just come to its end: the thread is where such a call begins
/// and ends, and a loop of them is met there as often as in the call.
std::optional<SystemCall> pause_just_over(const user_regs_struct& r, ProcessMemory& memory) {
  const auto result = static_cast<long>(r.rax);
  const bool timed_wait = r.orig_rax == SYS_futex && r.r10 != 0 && result == -ETIMEDOUT;
  const bool nap = (r.orig_rax == SYS_nanosleep || r.orig_rax == SYS_clock_nanosleep ||
                    r.orig_rax == SYS_sched_yield) && result == 0;
  constexpr std::uint16_t kSyscall = 0x050f;  // as it lies in memory
  if ((!timed_wait && !nap) || memory.get<std::uint16_t>(r.rip - sizeof kSyscall) != kSyscall)
    return std::nullopt;
  return SystemCall{static_cast<long>(r.orig_rax), {r.rdi, r.rsi, r.rdx, r.r10, r.r8, r.r9}, r.rsp,
                    r.rip};
}

std::string fixed_text(const char* text, std::size_t size) {
  return std::string(text, strnlen(text, size));
}

}  // namespace

CoreFile::CoreFile(const std::string& path, const std::string& exe)
    : notes_(read_core(path)), exe_(exe) {
  find_program();
  take_mappings();
  take_modules();
  take_process(path);
  take_threads();
}

const CoreSegment* CoreFile::segment_at(std::uint64_t address) const {
  const auto after = std::upper_bound(
      notes_.segments.begin(), notes_.segments.end(), address,
      [](std::uint64_t a, const CoreSegment& segment) { return a < segment.start; });
  if (after == notes_.segments.begin() || address >= (after - 1)->end) return nullptr;
  return &*(after - 1);
}

const CoreMappedFile* CoreFile::file_at(std::uint64_t address) const {
  for (const CoreMappedFile& file : notes_.files) {
    if (address >= file.start && address < file.end) return &file;
  }
  return nullptr;
}

std::string CoreFile::file_of(const std::string& path) const {
  return path == program_ && !exe_.empty() ? exe_ : path;
}

ElfImage* CoreFile::image(const std::string& path) {
  if (std::find(other_builds_.begin(), other_builds_.end(), path) != other_builds_.end()) {
    return nullptr;
  }
  const auto [at, fresh] = images_.try_emplace(path);
  if (fresh) at->second = ElfImage::open(file_of(path));
  return at->second.get();
}

bool CoreFile::read_core_bytes(std::uint64_t address, std::span<std::byte> out) {
  const CoreSegment* segment = segment_at(address);
  if (segment == nullptr || address - segment->start >= segment->size ||
      out.size() > segment->size - (address - segment->start)) {
    return false;
  }
  const auto offset = static_cast<off_t>(segment->offset + (address - segment->start));
  return pread(notes_.fd.get(), out.data(), out.size(), offset) == ssize_t(out.size());
}

bool CoreFile::read_mapped_file(std::uint64_t address, std::span<std::byte> out) {
  const CoreMappedFile* file = file_at(address);
  const CoreSegment* segment = segment_at(address);
  if (file == nullptr || out.size() > file->end - address) return false;
  if (segment != nullptr && segment->writable) return false;  // it may have been written
  ElfImage* elf = image(file->path);
  return elf != nullptr && elf->read_file_offset(file->offset + (address - file->start), out);
}

bool CoreFile::read(std::uint64_t address, std::span<std::byte> out) {
  if (address > UINT64_MAX - out.size()) return false;
  while (!out.empty()) {
    // Up to where the next segment, or what the core has of it, begins or ends.
    std::uint64_t end = UINT64_MAX;
    const CoreSegment* segment = segment_at(address);
    if (segment != nullptr) {
      const std::uint64_t saved = segment->start + segment->size;
      end = address < saved ? saved : segment->end;
    } else if (const CoreMappedFile* file = file_at(address)) {
      end = file->end;
    }
    const auto piece = out.first(std::min<std::uint64_t>(out.size(), end - address));
    if (!read_core_bytes(address, piece) && !read_mapped_file(address, piece)) return false;
    address += piece.size();
    out = out.subspan(piece.size());
  }
  return true;
}

void CoreFile::find_program() {
  // What has its name now is compared with what ran: see is_other_build.
  for (CoreMappedFile& file : notes_.files) {
    if (file.path.ends_with(kDeleted)) file.path.resize(file.path.size() - kDeleted.size());
  }
  const auto entry = notes_.auxv.find(AT_ENTRY);
  const CoreMappedFile* file = entry != notes_.auxv.end() ? file_at(entry->second) : nullptr;
  if (file != nullptr) program_ = file->path;
  process_.exe = exe_.empty() ? program_ : exe_;
}

void CoreFile::take_mappings() {
  const auto special = [this](std::uint64_t key) -> const CoreSegment* {
    const auto at = notes_.auxv.find(key);
    return at != notes_.auxv.end() ? segment_at(at->second) : nullptr;
  };
  const CoreSegment* vdso = special(AT_SYSINFO_EHDR);
  const CoreSegment* stack = special(AT_RANDOM);
  for (const CoreSegment& segment : notes_.segments) {
    Mapping mapping{segment.start,
                    segment.end,
                    segment.readable,
                    segment.writable,
                    segment.executable,
                    false,
                    0,
                    0,
                    ""};
    if (const CoreMappedFile* file = file_at(segment.start)) {
      mapping.path = file->path;
      mapping.offset = file->offset + (segment.start - file->start);
      mapping.shared = is_shared_memory(file->path);
    } else if (&segment == vdso) {
      mapping.path = "[vdso]";
    } else if (&segment == stack) {
      mapping.path = "[stack]";
    }
    process_.mappings.push_back(std::move(mapping));
  }
  // gdb leaves out segments of which it saved nothing.
  for (const CoreMappedFile& file : notes_.files) {
    if (segment_at(file.start) != nullptr) continue;
    ElfImage* elf = image(file.path);
    process_.mappings.push_back({file.start, file.end, true, false,
                                 elf != nullptr && elf->executable_at_offset(file.offset),
                                 is_shared_memory(file.path), file.offset, 0, file.path});
  }
  std::sort(process_.mappings.begin(), process_.mappings.end(),
            [](const Mapping& a, const Mapping& b) { return a.start < b.start; });
}

bool CoreFile::is_other_build(const ModuleRecord& module) {
  const auto then = build_id([&](std::uint64_t address, std::span<std::byte> out) {
    return read_core_bytes(module.start + address, out);
  });
  const auto file = ElfImage::open(file_of(module.path));
  if (then.empty() || !file) return false;
  const std::uint64_t first = module.start - module.bias;  // of a program linked to a fixed address
  const auto now = build_id([&](std::uint64_t address, std::span<std::byte> out) {
    return file->read(first + address, out);
  });
  return then != now;
}

void CoreFile::take_modules() {
  ModuleFinder finder(*this);
  process_.modules = finder.modules(process_.mappings);
  for (ModuleRecord& module : process_.modules) {
    if (!module.path.starts_with('/')) continue;
    if (file_of(module.path) != module.path) module.file = file_of(module.path);
    const bool program = module.path == program_;
    const std::string cure =
        program ? "forkscope attach --core CORE EXE, with EXE from the machine it ran on" : "";
    if (is_other_build(module)) {
      process_.missing.push_back(
          {fmt::format("code and functions of {} are not known", module.path),
           "the file is another build than the one that ran", cure});
      other_builds_.push_back(module.path);
      // Nobody must take names or tables from it.
      module.file = module.path + " (another build)";
    } else if (image(module.path) == nullptr) {
      process_.missing.push_back(
          {fmt::format("code and functions of {} are not known", module.path),
           "the file cannot be read here", cure});
    }
  }
  process_.abi = abi_of(*this, process_.mappings);
  process_.libc = libc_of(process_.modules);
}

/// argv lies before envp and the auxiliary vector, of which the core file has a copy to look for.
std::vector<std::string> CoreFile::arguments() {
  std::vector<std::string> found;
  const auto random = notes_.auxv.find(AT_RANDOM);
  const CoreSegment* stack = random != notes_.auxv.end() ? segment_at(random->second) : nullptr;
  constexpr std::uint64_t kMostStack = 4 << 20;
  if (stack == nullptr || stack->size != stack->end - stack->start || notes_.auxv_bytes.empty()) {
    return found;
  }
  std::vector<std::uint64_t> words(std::min(stack->size, kMostStack) / sizeof(std::uint64_t));
  const std::uint64_t base = stack->end - words.size() * sizeof(std::uint64_t);
  if (!read_core_bytes(base, std::as_writable_bytes(std::span(words)))) return found;
  const auto bytes = std::as_bytes(std::span(words));
  const auto at =
      std::search(bytes.begin(), bytes.end(), notes_.auxv_bytes.begin(), notes_.auxv_bytes.end());
  if (at == bytes.end() || (at - bytes.begin()) % 8 != 0) return found;
  std::size_t i = std::size_t(at - bytes.begin()) / 8;
  if (i < 2 || words[--i] != 0) return found;  // the end of envp
  while (i > 0 && words[--i] != 0) {           // back to the end of argv
  }
  const std::size_t end = i;
  while (i > 0 && words[i - 1] != end - i) --i;  // back to argc
  if (i == 0) return found;
  for (; i < end; ++i) found.push_back(text(words[i]));
  return found;
}

void CoreFile::take_process(const std::string& path) {
  process_.from_core = true;
  process_.all_threads = true;
  if (notes_.process) {
    const elf_prpsinfo& info = *notes_.process;
    process_.pid = info.pr_pid;
    process_.parent = info.pr_ppid;
    process_.state = info.pr_sname;
    process_.forked = (info.pr_flag & kForkedNoExec) != 0;
  } else {
    process_.pid = notes_.threads.front().tid;
    process_.missing.push_back({"whether it was forked is not known",
                                "the core file does not say what process it was", ""});
  }
  process_.own_pid = process_.pid;
  process_.command = arguments();
  if (process_.command.empty() && notes_.process) {
    std::istringstream words(
        fixed_text(notes_.process->pr_psargs, sizeof notes_.process->pr_psargs));
    for (std::string word; words >> word;) process_.command.push_back(word);
  }
  if (notes_.wanted_size > notes_.file_size) {
    process_.missing.push_back({"a part of its memory is not known",
                                fmt::format("{} is cut off: it has {} of {} bytes", path,
                                            notes_.file_size, notes_.wanted_size),
                                "ulimit -c unlimited"});
  }
}

void CoreFile::take_threads() {
  // The one that got the signal comes first in the file.
  const auto is_leader = [this](const CoreStatus& thread) { return thread.tid == process_.pid; };
  std::stable_partition(notes_.threads.begin(), notes_.threads.end(), is_leader);
  for (const CoreStatus& status : notes_.threads) {
    ThreadEvidence thread;
    thread.tid = thread.own_tid = status.tid;
    if (notes_.process && is_leader(status)) {
      thread.name = fixed_text(notes_.process->pr_fname, sizeof notes_.process->pr_fname);
    }
    thread.call = system_call(status.registers);
    if (!thread.call) thread.call = pause_just_over(status.registers, *this);
    thread.running = !thread.call;
    thread.settled = true;
    process_.threads.push_back(std::move(thread));
    registers_.push_back(known_registers(status.registers));
  }
}

}  // namespace forkscope
