// `forkscope scan`: which processes of this host are deadlocked by a fork.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "detector/cli/finding_files.hpp"
#include "detector/cli/noise_options.hpp"
#include "detector/cli/output.hpp"

namespace forkscope::cli {

struct ScanOptions {
  std::string user;  ///< name or number; empty: every user's processes
  std::string json;  ///< a file, "-" for standard output in place of text
  FindingFileOptions files;
  NoiseOptions noise;  ///< of which --suppressions
  int verbose = 0;  ///< how often -v was given
  Colour colour = Colour::kAuto;
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_scan_command(CLI::App& app, ScanOptions& options);

/// Prints what was found; gives the exit status. Throws Failure or std::runtime_error.
int scan(const ScanOptions& options);

}  // namespace forkscope::cli
