// `forkscope report`: the report of a session that was kept.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

#include "detector/cli/finding_files.hpp"
#include "detector/cli/noise_options.hpp"
#include "detector/cli/output.hpp"

namespace forkscope::cli {

struct ReportOptions {
  std::vector<std::string> sessions;  ///< one, or the runs of a sweep
  std::string json;  ///< a file, "-" for standard output, empty for text
  FindingFileOptions files;
  NoiseOptions noise;
  int verbose = 0;  ///< how often -v was given
  Colour colour = Colour::kAuto;
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_report_command(CLI::App& app, ReportOptions& options);

/// Prints the report, and gives the exit status. Throws Failure or std::runtime_error with one
/// sentence.
int print_report(const ReportOptions& options);

}  // namespace forkscope::cli
