// What lies at an address of a process that was looked at. Pure functions; thread-safe.
#pragma once

#include <cstdint>

#include "detector/verdict/outside/evidence.hpp"

namespace forkscope {

/// Null: nothing is mapped there. Valid as long as the evidence.
const Mapping* mapping_at(const ProcessEvidence& process, std::uint64_t address);
/// The file whose code or data it is; null: of none. Valid as long as the evidence.
const ModuleRecord* module_at(const ProcessEvidence& process, std::uint64_t address);

}  // namespace forkscope
