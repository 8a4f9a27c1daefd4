// Runs chosen scenarios by chosen methods in chosen ways (How), again and again.
// Runs in the command only; not thread-safe. Each run has a folder of its own for its session,
// report and temporary files, removed when the run has ended.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "scenarios/runner/catalogue.hpp"
#include "scenarios/runner/outcome.hpp"

namespace forkscope::scenario {

struct Campaign {
  std::filesystem::path forkscope_exe;
  std::vector<std::string> scenarios;  ///< empty: all
  std::vector<std::string> methods;    ///< empty: all
  std::vector<How> how = all_ways();
  std::size_t repeat = 1;
  std::size_t jobs = 1;
  std::chrono::milliseconds patience{2000};
};

/// Called after each run with the number of runs that are over and of all, and what ran.
using Progress = std::function<void(std::size_t over, std::size_t all, const std::string& what)>;

/// The text as one word of a shell.
std::string quoted(const std::string& text);

/// A scenario with one of its methods.
struct Chosen {
  const Entry* entry;
  const Method* method;
};

/// What the names choose; all of them when there are none, of scenarios or of methods. In the order
/// of the catalogue, into which it points. Throws std::runtime_error with the known names.
std::vector<Chosen> choose(const std::vector<Entry>& catalogue,
                           const std::vector<std::string>& scenarios,
                           const std::vector<std::string>& methods);

/// In the order of the catalogue. Throws std::runtime_error with one sentence when a scenario or
/// method is unknown, or when forkscope itself failed; Interrupted after a signal.
std::vector<Case> run_campaign(const Campaign& campaign, const std::vector<Entry>& catalogue,
                               const Progress& progress);

}  // namespace forkscope::scenario
