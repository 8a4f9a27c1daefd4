// `forkscope sweep`: options, and the sweep from the learned run to the table.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/failure.hpp"
#include "detector/cli/output.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/cli/run_command.hpp"
#include "detector/verdict/sweep.hpp"

namespace forkscope::cli {

struct SweepOptions {
  std::size_t jobs = 1;
  bool plan = false;
  std::string folder;
  std::string json;
  std::optional<std::chrono::nanoseconds> timeout;
  std::uint64_t seed = 1;
  bool fail = false;  ///< --fail-on=deadlock
  int error_exitcode = kFindingMade;
  bool verbose = false;
  Colour colour = Colour::kAuto;
  std::vector<std::string> command;  ///< not an option: see command_split.hpp
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_sweep_command(CLI::App& app, SweepOptions& options);

/// Runs the command again and again. Throws Failure. Before any thread is made: it takes SIGINT,
/// SIGTERM and SIGHUP itself and leaves no process behind.
Ending sweep(const SweepOptions& options);

/// As text on standard output, or as JSON into `file` and where `json` is "-".
void print_sweep(const SweepTable& table, const std::string& json,
                 const std::optional<ReportFile>& file, const TextOptions& text);

/// The table of runs whose sessions were kept, wherever they were made. Throws Failure.
SweepTable table_of_sessions(const std::vector<std::string>& sessions);

}  // namespace forkscope::cli
