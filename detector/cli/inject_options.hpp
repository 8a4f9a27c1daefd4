// --inject and --seed of `forkscope run`: what is to go wrong in the program, on purpose.
// Not thread-safe; CLI11's callbacks fill in what must outlive them.
#pragma once

#include <CLI/App.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace forkscope::cli {

struct InjectOptions {
  std::vector<std::string> specs;
  std::optional<std::uint64_t> seed;
  bool help = false;  ///< --inject help: to be told what there is
};

/// Adds both. A malformed injection is a parse error, with the position and what was expected.
void add_inject_options(CLI::App& command, InjectOptions& options);

/// What `--inject help` prints: points, actions and keys, each with an example.
std::string inject_help();

/// The part of FORKSCOPE_OPTIONS that asks for it, with a ':' in front; empty where nothing is
/// asked for. Chooses a seed, one that people can type, if none was given.
std::string inject_settings(const InjectOptions& options);

/// What the library will read from FORKSCOPE_OPTIONS in `environment`; no seed: it injects nothing.
struct AskedFor {
  std::vector<std::string> specs;
  std::optional<std::uint64_t> seed;
};
AskedFor injections_in(const std::vector<std::string>& environment);

}  // namespace forkscope::cli
