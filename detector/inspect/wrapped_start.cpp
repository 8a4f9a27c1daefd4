#include "detector/inspect/wrapped_start.hpp"

#include <cstddef>
#include <cstring>

#include "detector/inspect/exported_symbol.hpp"
#include "detector/tracker/held_tables.hpp"

namespace forkscope {

std::optional<ThreadStart> unwrapped(ProcessMemory& memory, const ProcessEvidence& seen,
                                     const ThreadStart& given) {
  for (const ModuleRecord& module : seen.modules) {
    if (given.function < module.start || given.function >= module.end) continue;
    const auto address = ExportedSymbols(memory, module).find(kHeldTablesSymbol);
    const auto tables = address ? memory.get<HeldTables>(*address) : std::nullopt;
    if (!tables || std::memcmp(tables->magic, kHeldTablesMagic, sizeof tables->magic) != 0 ||
        tables->version != kHeldTablesVersion || tables->layout != held_tables_layout())
      return std::nullopt;
    const auto function =
        memory.get<std::uint64_t>(given.argument + offsetof(ThreadRecord, start));
    const auto argument =
        memory.get<std::uint64_t>(given.argument + offsetof(ThreadRecord, argument));
    if (!function || !argument) return std::nullopt;
    return ThreadStart{*function, *argument};
  }
  return std::nullopt;
}

std::uint64_t wrapped_start(ProcessMemory& memory, const ProcessEvidence& seen, std::uint64_t start,
                            std::uint64_t argument) {
  const auto program = unwrapped(memory, seen, {start, argument});
  return program ? program->function : start;
}

}  // namespace forkscope
