#include "detector/symbols/data_names.hpp"

#include <dwarf.h>

#include <algorithm>

#include "detector/symbols/demangle.hpp"
#include "detector/symbols/dwarf_types.hpp"

namespace forkscope {
namespace {

constexpr int kMaxDepth = 64;
constexpr std::uint64_t kScalar = 4;  ///< bytes of a lock that is an int, as libc's own are

/// The fixed address of a variable, if it has one: thread-local and automatic ones do not.
bool static_address(Dwarf_Die* die, Dwarf_Addr& address) {
  Dwarf_Attribute attribute;
  Dwarf_Op* op = nullptr;
  std::size_t count = 0;
  if (dwarf_attr(die, DW_AT_location, &attribute) == nullptr ||
      dwarf_getlocation(&attribute, &op, &count) != 0 || count == 0 || count > 2) {
    return false;
  }
  if (op[0].atom == DW_OP_addr) {
    address = op[0].number;
  } else if (op[0].atom == DW_OP_addrx || op[0].atom == DW_OP_GNU_addr_index) {
    Dwarf_Attribute indexed;
    if (dwarf_getlocation_attr(&attribute, op, &indexed) != 0 ||
        dwarf_formaddr(&indexed, &address) != 0) {
      return false;
    }
  } else {
    return false;
  }
  if (count == 1) return true;
  if (op[1].atom != DW_OP_plus_uconst) return false;
  address += op[1].number;
  return true;
}

}  // namespace

void DataNames::add(Dwarf_Die* die) {
  Dwarf_Addr address = 0;
  Dwarf_Die type;
  if (!static_address(die, address) || address == 0) return;  // 0: its section was discarded
  const std::uint64_t size = type_of(die, &type) ? size_of(&type) : 0;
  variables_.try_emplace(file_.file_address(address), Variable{*die, size});
}

void DataNames::collect(Dwarf_Die* parent, Depth depth, int level) {
  Dwarf_Die child;
  if (level > kMaxDepth || dwarf_child(parent, &child) != 0) return;
  do {
    switch (dwarf_tag(&child)) {
      case DW_TAG_variable:
        add(&child);
        break;
      case DW_TAG_namespace:
      case DW_TAG_module:
        collect(&child, depth, level + 1);
        break;
      case DW_TAG_subprogram:
      case DW_TAG_inlined_subroutine:
      case DW_TAG_lexical_block:
      case DW_TAG_structure_type:
      case DW_TAG_class_type:
        if (depth == Depth::kFunctions) collect(&child, depth, level + 1);
        break;
      default:
        break;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
}

void DataNames::load(Depth depth) {
  bool& loaded = loaded_[depth == Depth::kFunctions];
  if (loaded) return;
  loaded = true;
  for (ModuleFile::Unit unit : file_.units()) collect(&unit.die, depth, 0);
}

DataNames::Variable* DataNames::variable_at(std::uint64_t address, std::uint64_t& start) {
  for (const Depth depth : {Depth::kGlobal, Depth::kFunctions}) {
    load(depth);
    auto after = variables_.upper_bound(address);
    if (after == variables_.begin()) continue;
    --after;
    if (address - after->first < std::max<std::uint64_t>(after->second.size, 1)) {
      start = after->first;
      return &after->second;
    }
  }
  return nullptr;
}

std::string DataNames::symbol(std::uint64_t address) {
  const ElfSymbol symbol = file_.data_symbol(address);
  if (symbol.name.empty()) return {};
  return demangle(symbol.name) + member_path(Dwarf_Die{}, address - symbol.start);
}

std::string DataNames::name(std::uint64_t address) {
  const ElfSymbol symbol = file_.data_symbol(address);
  // No member to name: the debug information, which takes long to read, has nothing to add.
  if (symbol.start == address && symbol.size != 0 && symbol.size <= kScalar &&
      symbol.name.find('.') == std::string::npos) {
    return demangle(symbol.name);
  }
  std::uint64_t start = symbol.start;
  Variable* variable = variable_at(address, start);
  const bool mangled = is_mangled(symbol.name);
  if (variable == nullptr) return this->symbol(address);
  // A mangled symbol names the scope too; otherwise DWARF knows better than "lock.1234".
  std::string name;
  Dwarf_Attribute attribute;
  if (mangled && symbol.start == start) {
    name = demangle(symbol.name);
  } else if (dwarf_attr_integrate(&variable->die, DW_AT_linkage_name, &attribute) != nullptr) {
    const char* linkage = dwarf_formstring(&attribute);
    name = linkage == nullptr ? std::string() : demangle(linkage);
  }
  if (name.empty()) {
    const char* plain = dwarf_diename(&variable->die);
    name = plain != nullptr ? plain : demangle(symbol.name);
  }
  Dwarf_Die type{};
  type_of(&variable->die, &type);
  return name + member_path(type, address - start);
}

}  // namespace forkscope
