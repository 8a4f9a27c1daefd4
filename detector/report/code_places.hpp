// Where in a repository a finding is: what code-scanning services and editors can show.
// Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// A line of a file in the repository.
struct CodePlace {
  std::string path;  ///< relative to the root, with '/'
  int line = 1;
};

/// A step of a stack: native or Python, as a reader sees it.
struct CodeStep {
  std::string words;               ///< "TableReader::read_parquet() in parquet-lock"
  std::optional<CodePlace> place;  ///< nothing: outside the repository, or without debug information
};

/// The place of `file` under `root`, which is absolute. Relative names are taken as relative to it.
/// Installed packages inside the root (site-packages, node_modules) are not the repository's.
std::optional<CodePlace> place_under(const std::string& root, const std::string& file, int line);

/// Innermost first. The Python stack where there is one, else the native one: nobody repairs the
/// interpreter's frames.
std::vector<CodeStep> steps_of(const std::string& root, const std::vector<Frame>& stack,
                               const std::vector<PythonFrame>& python);

/// Where to put a finding. In the repository's own code where the child meets the lock; inside a
/// library, where the repository calls fork. Nothing: no frame of it is in the repository.
std::optional<CodePlace> place_of(const std::string& root, const Finding& finding);

}  // namespace forkscope
