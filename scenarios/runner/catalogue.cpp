#include "scenarios/runner/catalogue.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <stdexcept>
#include <system_error>

#include "scenarios/runner/processes.hpp"

namespace forkscope::scenario {
namespace fs = std::filesystem;
namespace {

constexpr std::chrono::seconds kDescribeLimit{10};

std::vector<fs::path> programs_in(const fs::path& directory) {
  std::error_code error;
  std::vector<fs::path> programs;
  for (const auto& entry : fs::directory_iterator(directory, error))
    if (entry.is_regular_file() && access(entry.path().c_str(), X_OK) == 0)
      programs.push_back(entry.path());
  if (error)
    throw std::runtime_error(
        fmt::format("cannot read the scenario folder {}: {}; set FORKSCOPE_SCENARIO_DIR to it",
                    directory.string(), error.message()));
  if (programs.empty())
    throw std::runtime_error(fmt::format(
        "no scenario in {}; set FORKSCOPE_SCENARIO_DIR to their folder", directory.string()));
  std::sort(programs.begin(), programs.end());
  return programs;
}

}  // namespace

fs::path scenario_directory(const fs::path& forkscope_exe) {
  if (const char* directory = std::getenv("FORKSCOPE_SCENARIO_DIR"); directory && *directory)
    return directory;
  return (forkscope_exe.parent_path() / "../lib/forkscope/scenarios").lexically_normal();
}

std::vector<Entry> load_catalogue(const fs::path& directory) {
  const std::vector<fs::path> programs = programs_in(directory);
  std::vector<Entry> catalogue;
  run_processes(
      programs.size(), 1,
      [&](std::size_t i) {
        return Command{{programs[i].string(), "--describe"}, {}, kDescribeLimit};
      },
      [&](std::size_t i, const Result& result) {
        if (result.timed_out || result.wait_status != 0)
          throw std::runtime_error(
              fmt::format("{} does not describe itself", programs[i].string()));
        Entry entry{programs[i], {}, parse_description(result.output)};
        // The layout is the same in the build tree and in an installation.
        entry.source =
            (directory / "../../../share/forkscope" / entry.description.source).lexically_normal();
        catalogue.push_back(std::move(entry));
      });
  return catalogue;
}

const Entry& find_entry(const std::vector<Entry>& catalogue, const std::string& name) {
  std::vector<std::string> names;
  for (const Entry& entry : catalogue) {
    if (entry.description.name == name) return entry;
    names.push_back(entry.description.name);
  }
  throw std::runtime_error(
      fmt::format("no scenario '{}'; there are: {}", name, fmt::join(names, ", ")));
}

}  // namespace forkscope::scenario
