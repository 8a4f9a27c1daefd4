#include "detector/inspect/wrapped_start.hpp"

#include <cstddef>
#include <cstring>

#include "detector/inspect/exported_symbol.hpp"
#include "detector/tracker/held_tables.hpp"

namespace forkscope {

std::uint64_t wrapped_start(ProcessMemory& memory, const ProcessEvidence& seen, std::uint64_t start,
                            std::uint64_t argument) {
  for (const ModuleRecord& module : seen.modules) {
    if (start < module.start || start >= module.end) continue;
    const auto address = ExportedSymbols(memory, module).find(kHeldTablesSymbol);
    const auto tables = address ? memory.get<HeldTables>(*address) : std::nullopt;
    if (!tables || std::memcmp(tables->magic, kHeldTablesMagic, sizeof tables->magic) != 0 ||
        tables->version != kHeldTablesVersion || tables->layout != held_tables_layout())
      return start;
    return memory.get<std::uint64_t>(argument + offsetof(ThreadRecord, start)).value_or(start);
  }
  return start;
}

}  // namespace forkscope
