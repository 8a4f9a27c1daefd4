// One ELF file with its debug information, opened through libdwfl for as long as it is needed.
//
// Every file is opened at base 0, so all addresses here are the file's own (p_vaddr): one handle
// serves every process of a session that maps the file, wherever it was mapped.
// Not thread-safe.
#pragma once

#include <elfutils/libdw.h>
#include <elfutils/libdwfl.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace forkscope {

/// An entry of a symbol table.
struct ElfSymbol {
  std::string name;  ///< as in the file, empty when there is none
  std::uint64_t start = 0;
  std::uint64_t size = 0;
};

class ModuleFile {
 public:
  /// Null when it cannot be read as ELF: a deleted file, the vDSO, no permission.
  static std::unique_ptr<ModuleFile> open(const std::string& path);

  ModuleFile(const ModuleFile&) = delete;
  ModuleFile& operator=(const ModuleFile&) = delete;

  /// A compilation unit. With split DWARF `skeleton` has the lines and `die` the rest.
  struct Unit {
    Dwarf_Die die;
    Dwarf_Die skeleton;
  };
  /// Compilation unit whose code includes `pc` (in DWARF's own addresses, see dwarf_address).
  std::optional<Unit> unit_at(Dwarf_Addr pc);
  /// Compilation unit that has `address`, of data too, in the file's own index: reads that unit
  /// alone. Nothing where there is no index, or it does not know the address.
  std::optional<Unit> indexed_unit(Dwarf_Addr address);
  const std::vector<Unit>& units();

  /// Address as the debug information counts it: a separate debug file may have another base.
  Dwarf_Addr dwarf_address(std::uint64_t address);
  std::uint64_t file_address(Dwarf_Addr address);

  /// Function symbol that contains the address, from .symtab, .dynsym or .gnu_debugdata.
  ElfSymbol function_symbol(std::uint64_t address);
  /// Data symbol that contains the address.
  ElfSymbol data_symbol(std::uint64_t address);

 private:
  struct Range {
    Dwarf_Addr low, high;
    std::size_t unit;
  };
  using DwflHandle = std::unique_ptr<Dwfl, void (*)(Dwfl*)>;

  ModuleFile(DwflHandle handle, Dwfl_Module* module);
  Dwarf* dwarf();
  void load_units();
  ElfSymbol symbol(std::uint64_t address, const std::function<bool(unsigned type)>& wanted);

  DwflHandle handle_;
  Dwfl_Module* module_;
  Dwarf* dwarf_ = nullptr;
  Dwarf_Addr dwarf_bias_ = 0;
  bool dwarf_loaded_ = false, units_loaded_ = false;
  std::vector<Unit> units_;
  std::vector<Range> ranges_;  ///< sorted by low
};

}  // namespace forkscope
