#include "detector/inspect/modules.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <set>
#include <string_view>

#include "detector/record/module_kind.hpp"

namespace forkscope {
namespace {

constexpr std::string_view kDeleted = " (deleted)";
constexpr std::size_t kMaxHeaders = 64;

bool is_elf64(const Elf64_Ehdr& header) {
  return std::memcmp(header.e_ident, ELFMAG, SELFMAG) == 0 &&
         header.e_ident[EI_CLASS] == ELFCLASS64;
}

}  // namespace

std::string ModuleFinder::open_at(const Mapping& mapping) const {
  if (proc_folder_.empty()) return {};
  if (mapping.path.ends_with(kDeleted))  // an upgrade replaced it: its bytes are still there
    return fmt::format("{}/map_files/{:x}-{:x}", proc_folder_, mapping.start, mapping.end);
  return same_files_ ? std::string() : proc_folder_ + "/root" + mapping.path;
}

bool ModuleFinder::fill(ModuleRecord& module, const Mapping& first) {
  const auto header = memory_.get<Elf64_Ehdr>(first.start);
  if (!header || !is_elf64(*header) || header->e_phentsize != sizeof(Elf64_Phdr)) return false;
  std::uint64_t low = UINT64_MAX, high = 0;
  std::vector<Elf64_Phdr> segments(std::min<std::size_t>(header->e_phnum, kMaxHeaders));
  if (!memory_.read(first.start + header->e_phoff, std::as_writable_bytes(std::span(segments))))
    return false;
  for (const Elf64_Phdr& segment : segments) {
    if (segment.p_type != PT_LOAD) continue;
    low = std::min(low, segment.p_vaddr - segment.p_vaddr % 4096);
    high = std::max(high, segment.p_vaddr + segment.p_memsz);
  }
  if (low >= high) return false;
  module.bias = first.start - low;
  module.start = first.start;
  module.end = module.bias + high;
  return module.end > module.start;
}

std::vector<ModuleRecord> ModuleFinder::modules(const std::vector<Mapping>& mappings) {
  std::vector<ModuleRecord> modules;
  // Only programs and libraries: reading others would fault pages into the process for nothing.
  std::set<std::string_view> programs;
  for (const Mapping& mapping : mappings)
    if (mapping.executable) programs.insert(mapping.path);
  for (const Mapping& mapping : mappings) {
    const bool vdso = mapping.path == "[vdso]";
    if (mapping.offset != 0 || mapping.shared || !mapping.readable) continue;
    if (!vdso && (!mapping.path.starts_with('/') || !programs.contains(mapping.path))) continue;
    ModuleRecord module;
    module.path = mapping.path;
    if (module.path.ends_with(kDeleted))
      module.path.resize(module.path.size() - kDeleted.size());
    module.file = vdso ? std::string() : open_at(mapping);
    if (fill(module, mapping)) modules.push_back(std::move(module));
  }
  return modules;
}

Abi abi_of(ProcessMemory& memory, const std::vector<Mapping>& mappings) {
  for (const Mapping& mapping : mappings) {
    unsigned char identity[EI_NIDENT];
    if (mapping.offset != 0 || !mapping.path.starts_with('/') ||
        !memory.read(mapping.start, std::as_writable_bytes(std::span(identity))) ||
        std::memcmp(identity, ELFMAG, SELFMAG) != 0) {
      continue;
    }
    if (identity[EI_CLASS] != ELFCLASS64) return Abi::k32Bit;
    const auto header = memory.get<Elf64_Ehdr>(mapping.start);
    return header && header->e_machine == EM_X86_64 ? Abi::kX86_64 : Abi::kGeneric64;
  }
  return kNativeAbi;
}

Libc libc_of(const std::vector<ModuleRecord>& modules) {
  for (const ModuleRecord& module : modules) {
    if (is_musl(module.path)) return Libc::kMusl;
    const std::string_view name = module_name_parts::file_name(module.path);
    if (name == "libc.so.6" || name.starts_with("libc-2.")) return Libc::kGlibc;
  }
  return Libc::kUnknown;
}

}  // namespace forkscope
