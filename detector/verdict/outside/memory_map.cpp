#include "detector/verdict/outside/memory_map.hpp"

#include <algorithm>

namespace forkscope {

const Mapping* mapping_at(const ProcessEvidence& process, std::uint64_t address) {
  const auto at = std::upper_bound(
      process.mappings.begin(), process.mappings.end(), address,
      [](std::uint64_t value, const Mapping& mapping) { return value < mapping.end; });
  return at != process.mappings.end() && at->start <= address ? &*at : nullptr;
}

const ModuleRecord* module_at(const ProcessEvidence& process, std::uint64_t address) {
  for (const ModuleRecord& module : process.modules)
    if (address >= module.start && address < module.end) return &module;
  return nullptr;
}

}  // namespace forkscope
