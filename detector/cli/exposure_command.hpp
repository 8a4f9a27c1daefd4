// `forkscope exposure`: which locks a fork at a random moment would orphan, of a process that runs
// under the library or of a program that is started for it.
#pragma once

#include <CLI/App.hpp>
#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/output.hpp"
#include "detector/cli/run_command.hpp"

namespace forkscope::cli {

struct ExposureOptions {
  std::optional<std::chrono::nanoseconds> time;
  std::chrono::nanoseconds interval = std::chrono::milliseconds(1);
  std::string json;  ///< a file; "-" for standard output in place of text
  bool verbose = false;
  Colour colour = Colour::kAuto;
  std::vector<std::string> words;  ///< a PID, or a command with its arguments
  bool dashes = false;             ///< "--" was given: the words are a command
};

/// Adds the subcommand; `options` is filled in by parsing, except words and dashes, and must
/// outlive `app`.
CLI::App* add_exposure_command(CLI::App& app, ExposureOptions& options);

/// The PID that the first word is, if they are no command.
std::optional<pid_t> pid_in(const ExposureOptions& options);

/// Looks, and prints. Throws Failure.
Ending expose_locks(const ExposureOptions& options);

}  // namespace forkscope::cli
