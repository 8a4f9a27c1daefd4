// `forkscope run`: options, and the run from the first check to the exit status.
#pragma once

#include <sys/types.h>

#include <CLI/App.hpp>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "detector/cli/fail_on.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/finding_files.hpp"
#include "detector/cli/inject_options.hpp"
#include "detector/cli/noise_options.hpp"
#include "detector/cli/output.hpp"

namespace forkscope::cli {

struct RunOptions {
  std::string json;
  FindingFileOptions files;
  std::string on_deadlock;  ///< empty: FORKSCOPE_OPTIONS decides, or the library's default
  FailOn fail_on;
  int error_exitcode = kFindingMade;
  NoiseOptions noise;
  InjectOptions inject;
  std::optional<std::chrono::nanoseconds> timeout;
  /// How often the watchdog looks; nothing: never.
  std::optional<std::chrono::milliseconds> watch{100};
  bool unsafe_calls = true;  ///< note calls of libc that a forked child may not make
  bool check_descriptors = false;  ///< --check=descriptors
  bool quiet = false;
  int verbose = 0;  ///< how often -v was given
  std::string session;
  std::string log_file;  ///< where findings go; empty: standard error
  Colour colour = Colour::kAuto;
  std::vector<std::string> command;  ///< not an option: see command_split.hpp
  /// For who goes along (`exposure`): the program runs; it has ended. May be empty.
  std::function<void(pid_t)> on_start{};
  std::function<void()> on_end{};
};

/// How forkscope is to end.
struct Ending {
  int status = 0;
  int signal = 0;  ///< when not 0: by this signal, as the program did
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_run_command(CLI::App& app, RunOptions& options);

/// Runs the command. Throws Failure; the program was not started when the failure could be
/// foreseen.
Ending run_program(const RunOptions& options);

}  // namespace forkscope::cli
