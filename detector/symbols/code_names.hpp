// Which functions, inlined ones included, an address of code belongs to. Not thread-safe.
#pragma once

#include <string>
#include <vector>

#include "detector/symbols/module_file.hpp"

namespace forkscope {

struct CodeName {
  std::string function;  ///< demangled, empty when unknown
  std::string file;
  int line = 0;
};

/// Innermost inlined function first, the physical function last; never empty.
/// The line of an outer function is that of the call that was inlined.
std::vector<CodeName> code_names(ModuleFile& file, std::uint64_t address);

/// The function alone, by the file's symbol table.
std::vector<CodeName> symbol_names(ModuleFile& file, std::uint64_t address);

}  // namespace forkscope
