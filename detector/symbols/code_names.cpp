#include "detector/symbols/code_names.hpp"

#include <dwarf.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "detector/symbols/demangle.hpp"

namespace forkscope {
namespace {

constexpr int kMaxDepth = 256;

enum class Search {
  kQuick,     ///< enter functions that contain the address only
  kThorough,  ///< enter all: nested functions need not lie inside the one that declares them
};

/// Collects the functions that contain `pc`, outermost first. Written here because
/// dwarf_getscopes() does not enter namespaces and types, where Rust keeps its functions.
bool find_calls(Dwarf_Die* parent, Dwarf_Addr pc, Search search, std::vector<Dwarf_Die>& calls,
                int depth = 0) {
  Dwarf_Die child;
  if (depth > kMaxDepth || dwarf_child(parent, &child) != 0) return false;
  do {
    switch (dwarf_tag(&child)) {
      case DW_TAG_subprogram:
      case DW_TAG_inlined_subroutine:
        if (dwarf_haspc(&child, pc) > 0) {
          calls.push_back(child);
          find_calls(&child, pc, search, calls, depth + 1);
          return true;
        }
        if (search == Search::kThorough && find_calls(&child, pc, search, calls, depth + 1)) {
          return true;
        }
        break;
      case DW_TAG_lexical_block:
      case DW_TAG_try_block:
      case DW_TAG_catch_block:
      case DW_TAG_with_stmt:
        // GCC leaves the range off blocks whose variables all went away, keep looking in those.
        if (dwarf_haspc(&child, pc) > 0 || search == Search::kThorough ||
            !(dwarf_hasattr(&child, DW_AT_low_pc) || dwarf_hasattr(&child, DW_AT_ranges))) {
          if (find_calls(&child, pc, search, calls, depth + 1)) return true;
        }
        break;
      case DW_TAG_namespace:
      case DW_TAG_module:
      case DW_TAG_structure_type:
      case DW_TAG_class_type:
      case DW_TAG_union_type:
      case DW_TAG_enumeration_type:
        if (find_calls(&child, pc, search, calls, depth + 1)) return true;
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
  return false;
}

const char* linkage_name(Dwarf_Die* die) {
  Dwarf_Attribute attribute;
  for (unsigned name : {unsigned(DW_AT_linkage_name), unsigned(DW_AT_MIPS_linkage_name)}) {
    if (dwarf_attr_integrate(die, name, &attribute) != nullptr) return dwarf_formstring(&attribute);
  }
  return nullptr;
}

/// "table::Reader::" for what is declared there. GCC gives static functions and lambdas no linkage
/// name, and when they are inlined there is no symbol to ask either.
std::string enclosing_scopes(Dwarf_Die die) {
  Dwarf_Attribute attribute;
  for (int hops = 0; hops < 8; ++hops) {  // from the copy of the code to the declaration
    const unsigned link =
        dwarf_hasattr(&die, DW_AT_abstract_origin) ? DW_AT_abstract_origin : DW_AT_specification;
    Dwarf_Die origin;
    if (dwarf_attr(&die, link, &attribute) == nullptr ||
        dwarf_formref_die(&attribute, &origin) == nullptr) {
      break;
    }
    die = origin;
  }
  Dwarf_Die* scopes = nullptr;
  const int count = dwarf_getscopes_die(&die, &scopes);
  std::string prefix;
  for (int i = 1; i < count; ++i) {  // 0 is the function itself
    const int tag = dwarf_tag(&scopes[i]);
    if (tag != DW_TAG_namespace && tag != DW_TAG_structure_type && tag != DW_TAG_class_type &&
        tag != DW_TAG_union_type && tag != DW_TAG_subprogram) {
      continue;
    }
    const char* name = dwarf_diename(&scopes[i]);
    if (name == nullptr && tag != DW_TAG_namespace) continue;
    prefix = std::string(name == nullptr ? "(anonymous namespace)" : name) + "::" + prefix;
  }
  std::free(scopes);
  return prefix;
}

std::string function_name(Dwarf_Die* die) {
  if (const char* linkage = linkage_name(die); linkage != nullptr) return demangle(linkage);
  const char* plain = dwarf_diename(die);
  return plain == nullptr ? std::string() : enclosing_scopes(*die) + plain;
}

std::string clean_path(const char* path) {
  return path == nullptr ? std::string() : std::filesystem::path(path).lexically_normal().string();
}

void set_line(CodeName& name, Dwarf_Die* unit, Dwarf_Addr pc) {
  Dwarf_Line* line = dwarf_getsrc_die(unit, pc);
  int number = 0;
  if (line == nullptr || dwarf_lineno(line, &number) != 0 || number <= 0) return;
  name.file = clean_path(dwarf_linesrc(line, nullptr, nullptr));
  name.line = name.file.empty() ? 0 : number;
}

/// Where the inlined function `call` was called.
void set_call_line(CodeName& name, Dwarf_Die* unit, Dwarf_Die* call) {
  Dwarf_Attribute attribute;
  Dwarf_Word file = 0, line = 0;
  Dwarf_Files* files = nullptr;
  std::size_t count = 0;
  if (dwarf_formudata(dwarf_attr(call, DW_AT_call_file, &attribute), &file) != 0 ||
      dwarf_formudata(dwarf_attr(call, DW_AT_call_line, &attribute), &line) != 0 ||
      dwarf_getsrcfiles(unit, &files, &count) != 0 || file >= count) {
    return;
  }
  name.file = clean_path(dwarf_filesrc(files, file, nullptr, nullptr));
  name.line = name.file.empty() ? 0 : int(line);
}

}  // namespace

std::vector<CodeName> symbol_names(ModuleFile& file, std::uint64_t address) {
  const std::string symbol = file.function_symbol(address).name;
  return {{symbol.empty() ? symbol : demangle(symbol), "", 0}};
}

std::vector<CodeName> code_names(ModuleFile& file, std::uint64_t address) {
  const std::string symbol = file.function_symbol(address).name;
  const Dwarf_Addr pc = file.dwarf_address(address);
  const auto found = file.unit_at(pc);
  if (!found) return symbol_names(file, address);

  ModuleFile::Unit unit = *found;
  std::vector<Dwarf_Die> calls;
  if (!find_calls(&unit.die, pc, Search::kQuick, calls)) {
    find_calls(&unit.die, pc, Search::kThorough, calls);
  }
  std::vector<CodeName> names(std::max<std::size_t>(calls.size(), 1));
  set_line(names.front(), &unit.skeleton, pc);
  for (std::size_t i = 0; i < calls.size(); ++i) {  // names run inwards out, calls outwards in
    Dwarf_Die& die = calls[calls.size() - 1 - i];
    names[i].function = function_name(&die);
    if (i + 1 < calls.size()) set_call_line(names[i + 1], &unit.skeleton, &die);
  }
  // Assembler has lines but no functions; lambdas and local classes may have no linkage name.
  CodeName& physical = names.back();
  const bool mangled = is_mangled(symbol);
  const bool named = !calls.empty() && linkage_name(&calls.front()) != nullptr;
  if (!symbol.empty() && (physical.function.empty() || (mangled && !named))) {
    physical.function = demangle(symbol);
  }
  return names;
}

}  // namespace forkscope
