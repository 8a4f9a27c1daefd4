// From an offset into an object to the members that lie there.
#include <dwarf.h>

#include <cstdio>
#include <optional>
#include <string_view>

#include "detector/symbols/data_names.hpp"
#include "detector/symbols/dwarf_types.hpp"

namespace forkscope {
namespace {

constexpr int kMaxDepth = 64;

std::optional<std::uint64_t> unsigned_attribute(Dwarf_Die* die, unsigned name) {
  Dwarf_Attribute attribute;
  Dwarf_Word value = 0;
  if (dwarf_attr_integrate(die, name, &attribute) == nullptr ||
      dwarf_formudata(&attribute, &value) != 0) {
    return std::nullopt;
  }
  return value;
}

/// Where a member or base class starts. A virtual base has no fixed place; members of unions carry
/// no attribute, static members are declarations.
std::optional<std::uint64_t> member_offset(Dwarf_Die* member) {
  if (dwarf_hasattr(member, DW_AT_declaration) || dwarf_hasattr(member, DW_AT_external)) {
    return std::nullopt;
  }
  if (!dwarf_hasattr(member, DW_AT_data_member_location)) return 0;
  if (auto constant = unsigned_attribute(member, DW_AT_data_member_location)) return constant;
  Dwarf_Attribute attribute;
  Dwarf_Op* op = nullptr;
  std::size_t count = 0;
  if (dwarf_getlocation(dwarf_attr(member, DW_AT_data_member_location, &attribute), &op, &count) ==
          0 &&
      count == 1 && op[0].atom == DW_OP_plus_uconst) {
    return op[0].number;
  }
  return std::nullopt;
}

/// Number of elements a dimension has, 0 when it is open.
std::uint64_t dimension(Dwarf_Die* subrange) {
  if (auto count = unsigned_attribute(subrange, DW_AT_count)) return *count;
  if (auto upper = unsigned_attribute(subrange, DW_AT_upper_bound)) return *upper + 1;
  return 0;
}

/// Adds the indices of the element at `offset` and makes `offset` one into the element.
bool enter_array(Dwarf_Die* array, Dwarf_Die* element, std::uint64_t& offset, std::string& path) {
  if (!type_of(array, element)) return false;
  const std::uint64_t size = size_of(element);
  if (size == 0) return false;
  std::vector<std::uint64_t> counts;
  Dwarf_Die child;
  if (dwarf_child(array, &child) == 0) {
    do {
      if (dwarf_tag(&child) == DW_TAG_subrange_type) counts.push_back(dimension(&child));
    } while (dwarf_siblingof(&child, &child) == 0);
  }
  std::uint64_t index = offset / size;
  std::string indices;
  for (std::size_t i = counts.size(); i-- > 1;) {  // the last index varies fastest
    if (counts[i] == 0) return false;
    indices = "[" + std::to_string(index % counts[i]) + "]" + indices;
    index /= counts[i];
  }
  path += "[" + std::to_string(index) + "]" + indices;
  offset %= size;
  return true;
}

/// The member at `offset`, else the largest base class there: an empty base class has a size of 1
/// and shares its place with the first member or with a base that is not empty.
bool enter_member(Dwarf_Die* type, Dwarf_Die* found, std::uint64_t& offset) {
  Dwarf_Die child;
  if (dwarf_child(type, &child) != 0) return false;
  std::uint64_t base_size = 0, base_start = 0;
  do {
    const int tag = dwarf_tag(&child);
    if (tag != DW_TAG_member && tag != DW_TAG_inheritance) continue;
    const auto start = member_offset(&child);
    Dwarf_Die member_type;
    if (!start || *start > offset || !type_of(&child, &member_type)) continue;
    const std::uint64_t size = size_of(&member_type);
    if (offset - *start >= size) continue;
    if (tag == DW_TAG_member) {
      *found = child;
      offset -= *start;
      return true;
    }
    if (size > base_size) {
      base_size = size;
      base_start = *start;
      *found = child;
    }
  } while (dwarf_siblingof(&child, &child) == 0);
  offset -= base_start;
  return base_size != 0;
}

bool is_reserved(std::string_view name) {
  return name.starts_with("__") ||
         (name.size() > 1 && name[0] == '_' && name[1] >= 'A' && name[1] <= 'Z');
}

}  // namespace

std::string member_path(Dwarf_Die type, std::uint64_t offset) {
  std::string path;
  std::uint64_t unnamed = offset;  // bytes past the last thing that was named
  Dwarf_Die at = type;
  for (int depth = 0; depth < kMaxDepth && at.addr != nullptr; ++depth) {
    Dwarf_Die peeled, next;
    if (dwarf_peel_type(&at, &peeled) != 0) break;
    const int tag = dwarf_tag(&peeled);
    if (tag == DW_TAG_array_type) {
      if (!enter_array(&peeled, &next, offset, path)) break;
      unnamed = offset;
      at = next;
    } else if (tag == DW_TAG_structure_type || tag == DW_TAG_class_type ||
               tag == DW_TAG_union_type) {
      Dwarf_Die member;
      if (!enter_member(&peeled, &member, offset) || !type_of(&member, &next)) break;
      const char* name = dwarf_tag(&member) == DW_TAG_member ? dwarf_diename(&member) : nullptr;
      if (name != nullptr && !is_reserved(name)) {
        path += ".";
        path += name;
        unnamed = offset;
      }
      at = next;
    } else {
      break;
    }
  }
  if (unnamed != 0) {
    char text[32];
    std::snprintf(text, sizeof text, "+0x%llx", static_cast<unsigned long long>(unnamed));
    path += text;
  }
  return path;
}

}  // namespace forkscope
