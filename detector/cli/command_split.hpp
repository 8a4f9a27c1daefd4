// Cuts `forkscope run OPTIONS [--] COMMAND ARGS...` where COMMAND begins.
//
// Not left to the option parser: the command's arguments must arrive byte for byte, also when they
// are empty, look like our options, or contain "--".
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace forkscope::cli {

struct SplitCommand {
  std::vector<std::string> options;  ///< for the option parser
  std::vector<std::string> command;  ///< untouched; empty when there is none
};

/// `arguments` are those after "run". `app` knows which options take a value.
SplitCommand split_command(const CLI::App& app, const std::vector<std::string>& arguments);

}  // namespace forkscope::cli
