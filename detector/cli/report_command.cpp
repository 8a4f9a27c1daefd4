#include "detector/cli/report_command.hpp"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <optional>

#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/cli/reporter.hpp"
#include "detector/cli/session_folder.hpp"
#include "detector/cli/sweep_command.hpp"
#include "detector/symbols/symbols.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope report [OPTIONS] SESSION...";

constexpr const char* kExamples = R"(Examples:
  forkscope run --session=run1 ./server; forkscope report run1
      prints the findings of the run again
  forkscope report --json - run1 | jq '.findings[].kind'
      the same as JSON, on standard output
  forkscope report sweep/runs/*/
      the table of a sweep's runs, wherever they were made; with --json as forkscope.sweep/1
  forkscope report --suppressions=fork.supp --write-baseline=fork.baseline run1
      leaves out what a rule matches, and accepts the rest for later runs with --baseline

Exit status:
  0    the report was made
  86   with --baseline: there is a deadlock or latent deadlock that is not in it
  125  forkscope itself failed)";

std::string report_text(const Report& report, const TextOptions& options) {
  std::string text;
  for (const Finding& finding : report.findings)
    if (printed_in_full(finding, options.verbose)) text += finding_text(finding, options);
  return text + handlers_text(report, options) + injections_text(report, options) +
         summary_text(report, options);
}

}  // namespace

CLI::App* add_report_command(CLI::App& app, ReportOptions& options) {
  CLI::App* report = app.add_subcommand("report", "Print the report of a session that was kept");
  use_help(*report, kUsage, kExamples);
  report
      ->add_option("session", options.sessions,
                   "The folder given to `forkscope run --session`; several: those of a sweep's runs")
      ->type_name("SESSION")
      ->required();
  report
      ->add_option("--json", options.json, "Write JSON to this file instead; - is standard output")
      ->type_name("FILE");
  add_finding_file_options(*report, options.files);
  report->add_flag("-v,--verbose", options.verbose,
                   "Print stacks and reasons, hazards and notes, and the at-fork handlers; -vv: whole "
                   "stacks");
  add_noise_options(*report, options.noise);
  add_colour_option(*report, options.colour);
  return report;
}

int print_report(const ReportOptions& options) {
  std::optional<ReportFile> file;
  if (!options.json.empty() && options.json != "-") file.emplace(options.json, "--json");
  const FindingFiles files(options.files, "report");
  if (options.sessions.size() > 1) {
    if (!options.files.sarif.empty() || !options.files.junit.empty())
      throw Failure("--sarif and --junit are of one session; give each session by itself");
    const TextOptions text = text_options(STDOUT_FILENO, options.colour, options.verbose);
    print_sweep(table_of_sessions(options.sessions), options.json, file, text);
    return 0;
  }
  const NoiseFilter noise(options.noise);
  const std::string& folder = options.sessions.front();
  Session session = read_session(folder);
  StoredFacts stored = read_facts(folder);
  if (!stored.finished)  // still running, or recorded without the command: look ourselves
    for (const Process& process : living_processes(session))
      stored.facts.running.push_back(process.pid);
  auto namer = make_namer();
  Report report = make_report(session, stored.facts, *namer, noise);
  if (file) {
    file->write(report_json(report));
  } else if (!options.json.empty()) {
    write_answer(report_json(report));
  } else {
    write_answer(
        report_text(report, text_options(STDOUT_FILENO, options.colour, options.verbose)));
  }
  files.write(report);
  noise.write(report);
  return fails(report, noise.fail_on({})) ? kFindingMade : 0;
}

}  // namespace forkscope::cli
