#include "detector/symbols/module_file.hpp"

#include <dwarf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <utility>

namespace forkscope {
namespace {

/// -1 unless it is a regular file: opening a FIFO or a device could block or do worse.
int open_regular(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  struct stat info {};
  if (fd >= 0 && (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode))) {
    close(fd);
    return -1;
  }
  return fd;
}

const Dwfl_Callbacks* callbacks() {
  static char* debuginfo_path = std::getenv("FORKSCOPE_DEBUG_PATH");  // null: elfutils' default
  static const Dwfl_Callbacks kCallbacks = [] {
    Dwfl_Callbacks c{};
    c.find_elf = dwfl_build_id_find_elf;
    // Build-id and .gnu_debuglink on disk first, then debuginfod if DEBUGINFOD_URLS is set.
    c.find_debuginfo = dwfl_standard_find_debuginfo;
    c.section_address = dwfl_offline_section_address;
    c.debuginfo_path = &debuginfo_path;
    return c;
  }();
  return &kCallbacks;
}

}  // namespace

ModuleFile::ModuleFile(DwflHandle handle, Dwfl_Module* module)
    : handle_(std::move(handle)), module_(module) {}

std::unique_ptr<ModuleFile> ModuleFile::open(const std::string& path) {
  const int fd = open_regular(path);
  if (fd < 0) return nullptr;
  DwflHandle handle(dwfl_begin(callbacks()), &dwfl_end);
  if (!handle) {
    close(fd);
    return nullptr;
  }
  dwfl_report_begin(handle.get());
  Dwfl_Module* module = dwfl_report_elf(handle.get(), path.c_str(), path.c_str(), fd, 0, true);
  dwfl_report_end(handle.get(), nullptr, nullptr);
  if (module == nullptr) {  // libdwfl takes the descriptor only on success
    close(fd);
    return nullptr;
  }
  return std::unique_ptr<ModuleFile>(new ModuleFile(std::move(handle), module));
}

Dwarf* ModuleFile::dwarf() {
  if (!std::exchange(dwarf_loaded_, true)) dwarf_ = dwfl_module_getdwarf(module_, &dwarf_bias_);
  return dwarf_;
}

std::optional<ModuleFile::Unit> ModuleFile::indexed_unit(Dwarf_Addr address) {
  Dwarf_Aranges* index = nullptr;
  if (dwarf() == nullptr || dwarf_getaranges(dwarf_, &index, nullptr) != 0) return std::nullopt;
  Dwarf_Addr start = 0;
  Dwarf_Off offset = 0;
  Dwarf_Die die{};
  // Ranges of discarded sections start at 0 and may span what is not theirs.
  if (dwarf_getarangeinfo(dwarf_getarange_addr(index, address), &start, nullptr, &offset) != 0 ||
      start == 0 || dwarf_offdie(dwarf_, offset, &die) == nullptr) {
    return std::nullopt;
  }
  Unit unit{};
  Dwarf_Die split{};
  std::uint8_t type = 0;
  if (dwarf_cu_info(die.cu, nullptr, &type, &unit.skeleton, &split, nullptr, nullptr, nullptr) !=
          0 ||
      (type != DW_UT_compile && type != DW_UT_skeleton)) {
    return std::nullopt;
  }
  unit.die = type == DW_UT_skeleton && split.addr != nullptr ? split : unit.skeleton;
  return unit;
}

void ModuleFile::load_units() {
  if (units_loaded_) return;
  units_loaded_ = true;
  Dwarf* dwarf = this->dwarf();
  if (dwarf == nullptr) return;
  Dwarf_CU* cu = nullptr;
  Dwarf_Half version = 0;
  std::uint8_t type = 0;
  Unit unit{};
  Dwarf_Die split{};
  while (dwarf_get_units(dwarf, cu, &cu, &version, &type, &unit.skeleton, &split) == 0) {
    if (type != DW_UT_compile && type != DW_UT_skeleton) continue;
    unit.die = type == DW_UT_skeleton && split.addr != nullptr ? split : unit.skeleton;
    Dwarf_Addr base = 0, low = 0, high = 0;
    std::ptrdiff_t at = 0;
    while ((at = dwarf_ranges(&unit.skeleton, at, &base, &low, &high)) > 0) {
      if (low < high) ranges_.push_back({low, high, units_.size()});
    }
    units_.push_back(unit);
  }
  std::sort(ranges_.begin(), ranges_.end(),
            [](const Range& a, const Range& b) { return a.low < b.low; });
}

const std::vector<ModuleFile::Unit>& ModuleFile::units() {
  load_units();
  return units_;
}

std::optional<ModuleFile::Unit> ModuleFile::unit_at(Dwarf_Addr pc) {
  // What .debug_aranges knows of an address is right. What it does not know may be there all the
  // same: clang and rustc write no such table, and linking their objects with GCC's gives one that
  // is incomplete. Only then are all units read, which takes many times as long.
  if (auto unit = indexed_unit(pc); unit && dwarf_haspc(&unit->skeleton, pc) > 0) return unit;
  load_units();
  auto after = std::upper_bound(ranges_.begin(), ranges_.end(), pc,
                                [](Dwarf_Addr a, const Range& range) { return a < range.low; });
  // Ranges of discarded sections start at 0 and may span live code, so look past the nearest.
  for (int tries = 0; after != ranges_.begin() && tries < 8; ++tries) {
    --after;
    if (pc < after->high) return units_[after->unit];
  }
  return std::nullopt;
}

Dwarf_Addr ModuleFile::dwarf_address(std::uint64_t address) {
  dwarf();
  return address - dwarf_bias_;
}
std::uint64_t ModuleFile::file_address(Dwarf_Addr address) {
  dwarf();
  return address + dwarf_bias_;
}

ElfSymbol ModuleFile::symbol(std::uint64_t address,
                             const std::function<bool(unsigned type)>& wanted) {
  GElf_Off offset = 0;
  GElf_Sym sym{};
  const char* name =
      dwfl_module_addrinfo(module_, address, &offset, &sym, nullptr, nullptr, nullptr);
  // libdwfl falls back to the nearest symbol before the address: only one with a size can say that
  // the address is its own.
  if (name == nullptr || !wanted(GELF_ST_TYPE(sym.st_info))) return {};
  if (sym.st_size == 0 ? offset != 0 : offset >= sym.st_size) return {};
  return {name, address - offset, sym.st_size};
}

ElfSymbol ModuleFile::function_symbol(std::uint64_t address) {
  return symbol(address, [](unsigned type) {
    return type == STT_FUNC || type == STT_GNU_IFUNC || type == STT_NOTYPE;
  });
}

ElfSymbol ModuleFile::data_symbol(std::uint64_t address) {
  return symbol(address, [](unsigned type) { return type == STT_OBJECT || type == STT_COMMON; });
}

}  // namespace forkscope
