#include "detector/inspect/python/find_runtime.hpp"

#include <algorithm>
#include <charconv>
#include <string_view>

#include "detector/inspect/exported_symbol.hpp"

namespace forkscope::python {
namespace {

constexpr std::string_view kRuntime = "_PyRuntime", kVersion = "Py_Version";
constexpr std::string_view kSection = ".PyRuntime";  // since 3.11, there even when stripped

std::uint32_t version_in(ProcessMemory& memory, const std::optional<std::uint64_t>& address) {
  return address ? std::uint32_t(memory.get<std::uint64_t>(*address).value_or(0)) : 0;
}

bool is_python(std::string_view path) {
  return path.substr(path.rfind('/') + 1).find("python") != std::string_view::npos;
}

void add(int minor, std::vector<int>& versions) {
  if (std::find(versions.begin(), versions.end(), minor) == versions.end()) {
    versions.push_back(minor);
  }
}

/// The digits after "python3." wherever they are.
void collect(std::string_view path, std::vector<int>& versions) {
  constexpr std::string_view kName = "python3.";
  for (std::size_t at = path.find(kName); at != std::string_view::npos;
       at = path.find(kName, at + 1)) {
    const std::string_view rest = path.substr(at + kName.size());
    int minor = 0;
    const auto error = std::from_chars(rest.data(), rest.data() + rest.size(), minor).ec;
    if (error == std::errc()) add(minor, versions);
  }
}

}  // namespace

std::optional<Runtime> find_runtime(ProcessMemory& memory,
                                    const std::vector<ModuleRecord>& modules) {
  for (const ModuleRecord& module : modules) {
    ExportedSymbols symbols(memory, module);
    if (const auto address = symbols.find(kRuntime)) {
      return Runtime{*address, module.path, version_in(memory, symbols.find(kVersion))};
    }
  }
  // A program that has it built in and exports nothing. Symbol tables can be long: those of files
  // that are not called after it, like the program itself, are left alone.
  for (const ModuleRecord& module : modules) {
    const bool named = is_python(module.path);
    if (!named && &module != &modules.front()) continue;
    if (const auto address = address_in_file(module, kSection, named ? kRuntime : "")) {
      return Runtime{*address, module.path, 0};
    }
  }
  return std::nullopt;
}

std::vector<int> likely_versions(const Runtime& runtime, const std::vector<Mapping>& mappings) {
  std::vector<int> versions;
  collect(runtime.module.substr(runtime.module.rfind('/') + 1), versions);
  if (!versions.empty()) return versions;
  for (const Mapping& mapping : mappings) collect(mapping.path, versions);
  for (const int minor : {9, 10, 11, 12}) add(minor, versions);
  return versions;
}

}  // namespace forkscope::python
