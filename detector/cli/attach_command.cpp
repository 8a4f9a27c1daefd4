#include "detector/cli/attach_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <optional>

#include "detector/cli/diagnose_process.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/symbols/symbols.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope attach [OPTIONS] (PID | --core CORE [EXE])";

constexpr const char* kExamples = R"(Examples:
  forkscope attach 4711
      tells whether process 4711 is deadlocked by a fork, and what its threads wait for
  forkscope attach --stacks 4711
      stops each thread for an instant, for stacks that are complete
  forkscope attach --core core.4711
      the same for a process that was dumped

The process is not stopped and not changed, unless --stacks is given.

Exit status:
  0    the question was answered, and no deadlock by fork was found
  86   the process is deadlocked by a fork
  87   it probably is
  125  forkscope itself failed, or there is no such process)";

int status_of(Answer answer) {
  if (answer == Answer::kDeadlock) return kFindingMade;
  return answer == Answer::kProbable ? kProbablyFound : 0;
}

}  // namespace

CLI::App* add_attach_command(CLI::App& app, AttachOptions& options) {
  CLI::App* attach =
      app.add_subcommand("attach", "Tell whether a running process is deadlocked by a fork");
  use_help(*attach, kUsage, kExamples);
  attach->add_option("pid", options.pid, "The process to look at")->type_name("PID");
  attach->add_flag("--stacks", options.stacks,
                   "Stop each thread for an instant to read its whole stack; this can end system "
                   "calls such as epoll_wait() early (EINTR)");
  attach->add_option("--json", options.json, "Write JSON to this file; - is standard output")
      ->type_name("FILE");
  attach->add_flag("-v,--verbose", options.verbose, "Show all threads and whole stacks");
  add_colour_option(*attach, options.colour);
  return attach;
}

int attach(const AttachOptions& options) {
  if (options.pid <= 0)
    throw Failure("give the PID of a process; `forkscope scan` lists those that hang");
  std::optional<ReportFile> file;
  if (!options.json.empty() && options.json != "-") file.emplace(options.json, "--json");
  auto namer = make_namer();
  auto found = diagnose_process(options.pid, {.stop = options.stacks}, *namer);
  if (!found) throw Failure(fmt::format("there is no process {}", options.pid));
  const Diagnosis& diagnosis = *found;
  if (file) file->write(diagnosis_json(diagnosis));
  write_text(STDOUT_FILENO,
             options.json == "-"
                 ? diagnosis_json(diagnosis)
                 : diagnosis_text(diagnosis, text_options(STDOUT_FILENO, options.colour,
                                                          options.verbose)));
  return status_of(diagnosis.answer);
}

}  // namespace forkscope::cli
