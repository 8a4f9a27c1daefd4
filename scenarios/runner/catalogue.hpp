// The scenarios of an installation: programs in one folder that describe themselves.
// Runs in the command only; not thread-safe.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "scenarios/support/description.hpp"

namespace forkscope::scenario {

struct Entry {
  std::filesystem::path program;
  std::filesystem::path source;  ///< installed source, for `show --source`
  Description description;
};

/// FORKSCOPE_SCENARIO_DIR, or where an installation has its scenarios relative to bin/forkscope.
std::filesystem::path scenario_directory(const std::filesystem::path& forkscope_exe);

/// All scenarios in the folder, by name. Throws std::runtime_error with one sentence when there is
/// no such folder, no scenario in it, or a program there does not describe itself.
std::vector<Entry> load_catalogue(const std::filesystem::path& directory);

/// Throws std::runtime_error that names the known ones when there is no such scenario.
const Entry& find_entry(const std::vector<Entry>& catalogue, const std::string& name);

}  // namespace forkscope::scenario
