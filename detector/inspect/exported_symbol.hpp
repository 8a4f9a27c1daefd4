// A symbol a loaded module exports, looked up as the dynamic loader does: in the hash table in the
// process's own memory. Needs no file, so deleted ones and other mount namespaces are no matter,
// and takes a handful of reads. Never trusts what it reads. Not thread-safe.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "detector/inspect/process_memory.hpp"
#include "detector/record/session.hpp"

namespace forkscope {

/// The dynamic section of one module.
class ExportedSymbols {
 public:
  ExportedSymbols(ProcessMemory& memory, const ModuleRecord& module);

  /// Its address in the process. Nothing: not defined there.
  std::optional<std::uint64_t> find(std::string_view name);

 private:
  std::optional<std::uint64_t> by_gnu_hash(std::string_view name);
  std::optional<std::uint64_t> by_sysv_hash(std::string_view name);
  std::optional<std::uint64_t> check(std::uint32_t index, std::string_view name);

  ProcessMemory& memory_;
  std::uint64_t bias_;
  std::uint64_t symbols_ = 0, strings_ = 0, gnu_hash_ = 0, sysv_hash_ = 0;
};

/// From the module's file: a section's address, or that of a symbol (if any is named) of its full
/// symbol table. For programs that export nothing.
std::optional<std::uint64_t> address_in_file(const ModuleRecord& module, std::string_view section,
                                             std::string_view symbol);

}  // namespace forkscope
