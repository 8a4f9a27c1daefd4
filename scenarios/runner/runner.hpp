// `forkscope scenario`: lists the scenarios, explains one, and runs them bare and under
// `forkscope run` to see whether each ends, and is diagnosed, as its description promises.
//
// Runs in the command, before it has any thread; not thread-safe. While scenarios run the process
// is a child subreaper and takes SIGINT, SIGTERM and SIGHUP itself, to leave no process behind.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <string_view>

namespace forkscope {

/// Adds the subcommand `scenario` to the command. `forkscope_exe` is the path of the running
/// command: the scenarios are found relative to it, unless the environment variable
/// FORKSCOPE_SCENARIO_DIR names their folder. When the subcommand was chosen, `exit_code` is set
/// while `app` parses: 0 all as promised, 1 something differs. What it was asked for goes to
/// `answer`. `exit_code` must outlive `app`; what fails throws std::runtime_error through it.
void add_scenario_command(CLI::App& app, const std::string& forkscope_exe,
                          const std::function<void(std::string_view)>& answer, int& exit_code);

}  // namespace forkscope
