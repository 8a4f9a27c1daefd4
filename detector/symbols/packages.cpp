#include "detector/symbols/packages.hpp"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <string_view>

namespace forkscope {
namespace {

namespace fs = std::filesystem;

struct InstalledFile {
  std::string packages;  ///< ".../site-packages"
  std::string top;       ///< its first part below: "polars", "numpy.libs", "six.py"
};

InstalledFile split(const std::string& file) {
  for (const std::string_view folder : {"/site-packages/", "/dist-packages/"}) {
    const std::size_t at = file.rfind(folder);
    if (at == std::string::npos) continue;
    const std::string below = file.substr(at + folder.size());
    return {file.substr(0, at + folder.size() - 1), below.substr(0, below.find('/'))};
  }
  return {};
}

/// As PEP 503 compares names: "Polars_LTS.cpu" is "polars-lts-cpu".
std::string normalised(std::string_view name) {
  std::string text;
  for (const char c : name) {
    const bool separator = c == '-' || c == '_' || c == '.';
    if (separator && text.ends_with('-')) continue;
    text += separator ? '-' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return text;
}

/// The name one imports: without ".libs", where a wheel keeps copies of libraries, and suffixes.
std::string import_name(const std::string& top) {
  if (top.ends_with(".libs")) return top.substr(0, top.size() - 5);
  return top.substr(0, top.find('.'));
}

/// Name and version of "polars-1.9.0.dist-info", which the specification makes of both.
std::string words_of(const std::string& info) {
  const std::string stem = info.substr(0, info.rfind('.'));
  const std::size_t dash = stem.find('-');
  if (dash == std::string::npos) return stem;
  return stem.substr(0, dash) + " " + stem.substr(dash + 1);
}

bool lists(const fs::path& list, const auto& matches) {
  constexpr int kMostLines = 100'000;
  std::error_code error;
  if (!fs::is_regular_file(list, error)) return false;  // a pipe would keep us waiting
  std::ifstream in(list);
  std::string line;
  for (int i = 0; i < kMostLines && std::getline(in, line); ++i)
    if (matches(line)) return true;
  return false;
}

std::string find_package(const InstalledFile& file) {
  const std::string name = import_name(file.top);
  std::error_code error;
  std::vector<fs::path> infos;
  for (fs::directory_iterator it(file.packages, error), end; !error && it != end;
       it.increment(error))
    if (it->path().extension() == ".dist-info") infos.push_back(it->path());
  std::sort(infos.begin(), infos.end());
  for (const fs::path& info : infos) {
    const std::string stem = info.filename().string();
    if (normalised(stem.substr(0, stem.find('-'))) == normalised(name))
      return words_of(info.filename().string());
  }
  for (const fs::path& info : infos)
    if (lists(info / "top_level.txt", [&](const std::string& line) { return line == name; }))
      return words_of(info.filename().string());
  for (const fs::path& info : infos)
    if (lists(info / "RECORD", [&](const std::string& line) {
          return line.starts_with(file.top + "/") || line.starts_with(file.top + ",");
        }))
      return words_of(info.filename().string());
  return name;
}

}  // namespace

std::string package_of(const std::string& path) {
  const InstalledFile file = split(path);
  if (file.top.empty()) return "";
  static std::mutex mutex;
  static std::map<std::string, std::string> known;
  const std::lock_guard lock(mutex);
  const auto [at, is_new] = known.try_emplace(file.packages + "/" + file.top);
  if (is_new) at->second = find_package(file);
  return at->second;
}

std::string first_package_of(const std::vector<std::string>& files) {
  for (const std::string& file : files)
    if (std::string package = package_of(file); !package.empty()) return package;
  return "";
}

}  // namespace forkscope
