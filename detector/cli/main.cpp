// The forkscope command: parses the command line and hands over to a subcommand.

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <sstream>

#include "detector/cli/attach_command.hpp"
#include "detector/cli/bench_command.hpp"
#include "detector/cli/command_split.hpp"
#include "detector/cli/exposure_command.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/output.hpp"
#include "detector/cli/report_command.hpp"
#include "detector/cli/run_command.hpp"
#include "detector/cli/scan_command.hpp"
#include "detector/cli/signals.hpp"
#include "detector/cli/sweep_command.hpp"
#include "detector/verdict/foreign_text.hpp"
#include "scenarios/runner/runner.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kExamples = R"(Examples:
  forkscope run -- python3 train.py
      runs the program and reports children that deadlock after fork, or could have
  forkscope scenario list
      lists small programs that show each cause and its cure
  forkscope COMMAND --help
      tells more about a command)";

std::string own_path() {
  std::error_code error;
  return std::filesystem::read_symlink("/proc/self/exe", error).string();
}

/// The command line proper, without what `app` is to run, which goes to `command`.
std::vector<std::string> arguments_for_parser(const std::vector<std::string>& arguments,
                                              const CLI::App& app,
                                              std::vector<std::string>& command) {
  if (arguments.empty() || arguments.front() != app.get_name()) return arguments;
  SplitCommand split = split_command(app, {arguments.begin() + 1, arguments.end()});
  command = std::move(split.command);
  split.options.insert(split.options.begin(), app.get_name());
  return split.options;
}

/// `exposure` is given a command, or a PID, before and after which options may stand.
std::vector<std::string> arguments_for_exposure(const std::vector<std::string>& arguments,
                                                const CLI::App& app, ExposureOptions& options) {
  auto rest = arguments_for_parser(arguments, app, options.words);
  // Of `-- 4711` the number is a command.
  if (rest.size() < arguments.size() && arguments[rest.size()] == "--") options.dashes = true;
  if (!pid_in(options)) return rest;
  rest.insert(rest.end(), options.words.begin() + 1, options.words.end());
  options.words.resize(1);
  return rest;
}

/// CLI11's message as one sentence of ours.
void say_usage_error(const CLI::App& app, const CLI::ParseError& error) {
  constexpr std::size_t kMost = 300;
  auto chosen = app.get_subcommands();
  std::string help = chosen.empty() ? "forkscope" : "forkscope " + chosen.front()->get_name();
  say(fmt::format("{}; see `{} --help`", bounded(error.what(), kMost), help));
}

Ending dispatch(int argc, char** argv) {
  CLI::App app("Why does the forked child hang? Fork-safety diagnostics for Linux programs.",
               "forkscope");
  use_help(app, "forkscope COMMAND [OPTIONS] ...", kExamples);
  app.set_version_flag("--version", "forkscope " FORKSCOPE_VERSION);
  app.require_subcommand(1);
  RunOptions run_options;
  AttachOptions attach_options;
  BenchOptions bench_options;
  ExposureOptions exposure_options;
  ReportOptions report_options;
  ScanOptions scan_options;
  SweepOptions sweep_options;
  int exit_code = 0;
  CLI::App* run = add_run_command(app, run_options);
  CLI::App* attach_to = add_attach_command(app, attach_options);
  CLI::App* scan_host = add_scan_command(app, scan_options);
  CLI::App* sweep_locks = add_sweep_command(app, sweep_options);
  CLI::App* expose = add_exposure_command(app, exposure_options);
  CLI::App* report = add_report_command(app, report_options);
  CLI::App* measure_costs = add_bench_command(app, bench_options);
  add_scenario_command(app, own_path(), write_answer, exit_code);
  try {
    std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    arguments = arguments_for_parser(arguments, *run, run_options.command);
    arguments = arguments_for_parser(arguments, *sweep_locks, sweep_options.command);
    arguments = arguments_for_exposure(arguments, *expose, exposure_options);
    std::reverse(arguments.begin(), arguments.end());  // CLI11 takes them from the end
    app.parse(std::move(arguments));
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) {  // --help, --version
      std::ostringstream text;
      app.exit(error, text, text);
      write_answer(text.str());
      return {};
    }
    say_usage_error(app, error);
    return {kForkscopeFailed, 0};
  }
  if (run->parsed()) return run_program(run_options);
  if (attach_to->parsed()) return {attach(attach_options), 0};
  if (sweep_locks->parsed()) return sweep(sweep_options);
  if (expose->parsed()) return expose_locks(exposure_options);
  if (scan_host->parsed()) return {scan(scan_options), 0};
  if (report->parsed()) return {print_report(report_options), 0};
  if (measure_costs->parsed()) return {bench(bench_options), 0};
  return {exit_code, 0};
}

}  // namespace
}  // namespace forkscope::cli

int main(int argc, char** argv) {
  using namespace forkscope::cli;
  reserve_standard_descriptors();
  Ending ending;
  try {
    ending = dispatch(argc, argv);
  } catch (const Failure& failure) {
    say(failure.what());
    return failure.exit_status();
  } catch (const std::exception& error) {
    say(error.what());
    return kForkscopeFailed;
  }
  if (ending.signal != 0) Signals::die_by(ending.signal);
  return ending.status;
}
