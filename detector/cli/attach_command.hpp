// `forkscope attach`: what a process that hangs waits for, from outside.
#pragma once

#include <CLI/App.hpp>
#include <string>

#include "detector/cli/finding_files.hpp"
#include "detector/cli/output.hpp"

namespace forkscope::cli {

struct AttachOptions {
  std::string target;  ///< a PID; with `core` the path of its program, or empty
  std::string core;    ///< a core file in place of a process
  std::string json;  ///< a file, "-" for standard output in place of text
  FindingFileOptions files;
  bool stacks = false;
  bool follow_parent = false;
  int verbose = 0;  ///< how often -v was given
  Colour colour = Colour::kAuto;
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_attach_command(CLI::App& app, AttachOptions& options);

/// Prints the diagnosis; gives the exit status. Throws Failure or std::runtime_error.
int attach(const AttachOptions& options);

}  // namespace forkscope::cli
