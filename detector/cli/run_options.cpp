#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "detector/cli/duration.hpp"
#include "detector/cli/environment.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/run_command.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope run [OPTIONS] [--] COMMAND [ARGUMENTS...]";

constexpr const char* kExamples = R"(Examples:
  forkscope run python3 train.py
      runs the program as usual; findings go to standard error
  forkscope run --timeout=60 --json report.json -- ./server --port 80
      ends the whole process tree after a minute, and writes the report as JSON
  forkscope run --fail-on=latent --timeout=10m make test
      for CI: kills each child that deadlocks, and exits with 86 when one did, or could have
  forkscope run --verbose ./server
      prints notes, too, and who registered at-fork handlers, how long they took, what they locked
  forkscope run --verbose --unsafe-calls=on -- ./server
      also prints each call of libc that a forked child of threads may not make
  forkscope run --verbose --check=descriptors -- ./server
      also prints pipes, sockets and the like that a child shares with its parent by mistake
  forkscope run --suppressions=fork.supp --baseline=fork.baseline ./test
      leaves out what a rule matches, as in orphaned-lock:libfoo*, and fails on what is new
  forkscope run --inject fork:while-held,lock=file_lock -- ./test
      forks exactly while another thread holds that lock; `--inject help` lists what else there is
  forkscope run --inject fork:probe,every=1000 -- ./server
      forks by itself, unnoticed by the program, and tells what would have hung in the child

The exit status is the program's; when a signal ended it, forkscope ends by the same signal.
  86   a finding as grave as --fail-on says was made (--error-exitcode changes the number)
  124  --timeout ended the program
  125  forkscope itself failed, or the program cannot be observed; it was not started
  126  COMMAND cannot be executed
  127  COMMAND was not found)";

void add_report_options(CLI::App& run, RunOptions& options) {
  run.add_option("--json", options.json, "Write the report as JSON (schema forkscope.report/1)")
      ->type_name("FILE");
  add_finding_file_options(run, options.files);
  run.add_flag("-q,--quiet", options.quiet, "Print no findings and no summary");
  run.add_flag(
      "-v,--verbose", options.verbose,
      "Print stacks and reasons, hazards and notes, and the at-fork handlers; -vv: whole stacks");
  run.add_option("--log-file", options.log_file,
                 "Write findings and summary to this file, not to standard error")
      ->type_name("FILE");
  run.add_option("--session", options.session,
                 "Keep the records in this folder, for `forkscope report`; it is created if "
                 "missing, and must hold no session yet")
      ->type_name("DIR");
  add_colour_option(run, options.colour);
}

void add_verdict_options(CLI::App& run, RunOptions& options) {
  run.add_option(
         "--on-deadlock", options.on_deadlock,
         "What happens to a child that deadlocks: report (it blocks, as it would alone; the "
         "default), kill (the default with --fail-on and --baseline), abort, exit:N, or break (the "
         "lock is taken from the vanished thread)")
      ->type_name("ACTION")
      ->check([](const std::string& value) { return on_deadlock_error(value); }, "");
  run.add_option_function<std::string>(
         "--fail-on",
         [&options](const std::string& list) {
           const std::string error = parse_fail_on(list, options.fail_on);
           if (!error.empty()) throw CLI::ValidationError("--fail-on", error);
         },
         "Exit with --error-exitcode when there is a finding of this severity or a graver one: "
         "deadlock, probable, latent, hazard, note; or of those of only:LIST. Implies "
         "--on-deadlock=kill, so that the run ends")
      ->type_name("SEVERITY");
  run.add_option_function<std::string>(
         "--unsafe-calls",
         [&options](const std::string& text) { options.unsafe_calls = text == "on"; },
         "Whether calls of libc that the forked child of a process with threads may not make are "
         "notes: on (the default) or off")
      ->type_name("on|off")
      ->check(CLI::IsMember({"on", "off"}).description(""));
  run.add_option_function<std::string>(
         "--check", [&options](const std::string&) { options.check_descriptors = true; },
         "What else to look at: descriptors (those that a child shares with its parent and both "
         "use, or that the child keeps open and does not use)")
      ->type_name("WHAT")
      ->check(CLI::IsMember({"descriptors"}).description(""));
  run.add_option("--error-exitcode", options.error_exitcode,
                 "Exit status for --fail-on, 1 to 255 (default 86)")
      ->type_name("N")
      ->check(CLI::Range(1, 255).description(""));
}

}  // namespace

CLI::App* add_run_command(CLI::App& app, RunOptions& options) {
  CLI::App* run = app.add_subcommand(
      "run", "Run a program, follow its process tree, and report fork-safety findings");
  use_help(*run, kUsage, kExamples);
  add_report_options(*run, options);
  add_verdict_options(*run, options);
  add_noise_options(*run, options.noise);
  add_inject_options(*run, options.inject);
  add_timeout_option(
      *run, options.timeout,
      "End the program and its whole process tree after this time: SIGTERM, then SIGKILL after "
      "2 s; exit with 124");
  run->add_option_function<std::string>(
         "--watch",
         [&options](const std::string& text) {
           options.watch.reset();
           if (text == "off") return;
           const auto interval = parse_duration(text);
           constexpr auto kShortest = std::chrono::milliseconds(10);
           if (!interval || *interval < kShortest || *interval > std::chrono::hours(1))
             throw CLI::ValidationError(
                 "--watch",
                 fmt::format("'{}' is no interval; give 10ms to 1h, as in 100ms or 1, or off",
                             text));
           options.watch = std::chrono::duration_cast<std::chrono::milliseconds>(*interval);
         },
         "How often children are looked at from outside, for hangs that the preload library cannot "
         "see (default 100ms; less often while nothing happens), or off")
      ->type_name("INTERVAL");
  return run;
}

}  // namespace forkscope::cli
