// Variables and functions of a loaded object whose names match patterns, as ranges of addresses.
//
// Reads the symbol table of the object's file (.symtab, else .dynsym) by raw system calls; a file
// that is gone, stripped or damaged has no names, which is no error. Names are compared as they
// are, and, of C++, by their qualified name without parameters, and by its last part.
// Async-signal-safe, thread-safe.
#pragma once

#include <link.h>

#include <cstddef>
#include <cstdint>

namespace forkscope::inject {

struct SymbolRange {
  std::uint64_t begin, end;
  std::uint32_t injections;  ///< bits
  bool code;
};

struct SymbolRanges {
  SymbolRange* first = nullptr;  ///< sorted by begin; never freed
  std::uint32_t count = 0;
};

/// Path of the file of `object`, or null.
const char* path_of(const link_map& object, char (&buffer)[1024]);

/// `matching` gives the bits of the injections that a name is for.
SymbolRanges read_symbols(const link_map& object, std::uint32_t (*matching)(const char* name));

/// The qualified name in a name mangled by the Itanium C++ ABI, "parquet::file_lock", without
/// parameters; false where it is none, or a template's.
bool plain_name(const char* mangled, char* into, std::size_t size);

}  // namespace forkscope::inject
