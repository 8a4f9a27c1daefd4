// Two questions about types that several files ask of libdw. Not thread-safe.
#pragma once

#include <dwarf.h>
#include <elfutils/libdw.h>

#include <cstdint>

namespace forkscope {

/// The type of a variable, member or array; false when it has none.
inline bool type_of(Dwarf_Die* die, Dwarf_Die* type) {
  Dwarf_Attribute attribute;
  return dwarf_attr_integrate(die, DW_AT_type, &attribute) != nullptr &&
         dwarf_formref_die(&attribute, type) != nullptr;
}

/// Bytes an object of the type takes, 0 when the debug information does not say.
inline std::uint64_t size_of(Dwarf_Die* type) {
  Dwarf_Word size = 0;
  return dwarf_aggregate_size(type, &size) == 0 ? size : 0;
}

}  // namespace forkscope
