#include "detector/cli/sweep_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "detector/cli/help.hpp"
#include "detector/cli/program.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/cli/sweep_runs.hpp"
#include "detector/report/print_sweep.hpp"
#include "detector/verdict/foreign_text.hpp"
#include "scenarios/runner/processes.hpp"

namespace forkscope::cli {
namespace {

using std::chrono::milliseconds;
using Clock = std::chrono::steady_clock;

constexpr const char* kUsage = "forkscope sweep [OPTIONS] [--] COMMAND [ARGUMENTS...]";

constexpr const char* kExamples = R"(Examples:
  forkscope sweep -- python3 pool.py
      runs the program once to learn which locks its threads use around forks, then once for each
      of them with the fork forced to happen while another thread has it, and prints what came of it
  forkscope sweep --jobs=4 --folder=sweep --json=sweep.json -- ./server --once
      four runs at a time; the same line goes on after an interruption
  forkscope sweep --plan --folder=sweep -- ./server --once | parallel
      leaves the runs to GNU parallel; the line without --plan then prints the table
  forkscope report sweep/runs/*/
      the same table from the sessions, which may come from several machines

COMMAND must end by itself, and must do without input: its standard input is /dev/null, and what it
prints goes to files in the folder.

Exit status:
  0    the sweep was made
  86   --fail-on=deadlock, and a run deadlocked (--error-exitcode changes the number)
  125  forkscope itself failed, the program cannot be observed, or it fails when nothing is forced
  126  COMMAND cannot be executed
  127  COMMAND was not found)";

milliseconds limit_of(const SweepOptions& options) {
  return options.timeout ? std::chrono::ceil<milliseconds>(*options.timeout) : milliseconds(0);
}

/// "about 40 s", "about 3 min".
std::string about(std::chrono::duration<double> time) {
  constexpr double kMinute = 60, kSeveralMinutes = 120;
  const double seconds = time.count();
  return seconds < kSeveralMinutes ? fmt::format("about {:.0f} s", std::max(seconds, 1.0))
                                   : fmt::format("about {:.0f} min", seconds / kMinute);
}

/// On a terminal one line that is written over, else a line for each run. On standard error.
class Progress {
 public:
  Progress(std::size_t all, std::size_t over)
      : all_(all), over_(over), left_at_begin_(all - over), terminal_(isatty(STDERR_FILENO) == 1) {
    if (terminal_ && left_at_begin_ > 0) show("");
  }
  ~Progress() {
    if (terminal_) write_text(STDERR_FILENO, "\r\x1b[K");
  }
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void over(const SweepTable::Row& row) {
    ++over_;
    const std::string words =
        fmt::format("{}: {}", row.row.lock, sweep_result_word(row.verdict.result));
    if (terminal_)
      show(words);
    else
      say(fmt::format("{}/{} {}{}", over_, all_, words, remaining()));
  }

 private:
  std::string remaining() const {
    const std::size_t made = over_ - (all_ - left_at_begin_), left = all_ - over_;
    if (made == 0 || left == 0) return "";
    const std::chrono::duration<double> took = Clock::now() - begin_;
    return ", " + about(took / double(made) * double(left)) + " left";
  }
  void show(const std::string& words) const {
    constexpr std::size_t kLine = 78;
    write_text(STDERR_FILENO,
               "\r\x1b[K" + bounded(fmt::format("{}/{} runs{}{}", over_, all_, remaining(),
                                                words.empty() ? "" : "; " + words),
                                    kLine));
  }

  std::size_t all_, over_, left_at_begin_;
  bool terminal_;
  Clock::time_point begin_ = Clock::now();
};

SweepPlan plan_in(const SweepFolder& folder, const SweepOptions& options) {
  std::optional<SweepPlan> plan = read_sweep_plan(folder.path());
  if (!plan) {
    say("learning which locks the program's threads use around forks");
    return learn(folder, options.command, limit_of(options), options.seed);
  }
  if (plan->command != options.command)
    throw Failure(fmt::format("the folder {} is of another command: {}; give another with "
                              "--folder=DIR",
                              folder.path(), shell_line(plan->command)));
  return *plan;
}

void print_plan(const SweepFolder& folder, const SweepPlan& plan) {
  std::error_code error;
  const std::string forkscope = std::filesystem::read_symlink("/proc/self/exe", error).string();
  std::string text;
  for (const SweepRow& row : plan.rows) {
    const std::string session = folder.run(row);
    if (is_over(session)) continue;
    remove_session(session);
    text += fmt::format("{} >{} 2>{}\n", shell_line(run_words(forkscope, plan, row, session)),
                        shell_line({session + ".out"}), shell_line({session + ".err"}));
  }
  write_answer(text);
}

void make_missing_runs(const SweepFolder& folder, const SweepPlan& plan, std::size_t jobs) {
  std::size_t over = 0;
  for (const SweepRow& row : plan.rows) over += is_over(folder.run(row));
  Progress progress(plan.rows.size(), over);
  make_runs(folder, plan, jobs, [&](const SweepRow& row) {
    progress.over(row_of(plan, row, folder.run(row)));
  });
}

}  // namespace

void print_sweep(const SweepTable& table, const std::string& json,
                 const std::optional<ReportFile>& file, const TextOptions& text) {
  if (file) file->write(sweep_json(table));
  write_answer(json == "-" ? sweep_json(table) : sweep_text(table, text));
}

CLI::App* add_sweep_command(CLI::App& app, SweepOptions& options) {
  CLI::App* sweep = app.add_subcommand(
      "sweep", "Try every lock in turn: force the fork to happen while another thread has it");
  use_help(*sweep, kUsage, kExamples);
  sweep->add_option("-j,--jobs", options.jobs, "Runs at a time (default 1)")
      ->type_name("N")
      ->check(CLI::Range(1, 1024).description(""));
  sweep->add_flag("--plan", options.plan,
                  "Learn, and print the runs as one command a line instead of making them");
  sweep
      ->add_option("--folder", options.folder,
                   "Keep everything here, and go on with what is there; default: a new folder below "
                   "TMPDIR")
      ->type_name("DIR");
  sweep
      ->add_option("--json", options.json,
                   "Write the table as JSON (schema forkscope.sweep/1); - is standard output")
      ->type_name("FILE");
  add_timeout_option(
      *sweep, options.timeout,
      "End each run after this time (default: none for the first run, 15 s and ten times what "
      "that took for the others)");
  sweep
      ->add_option("--seed", options.seed,
                   "What chance decides in the runs is decided by this number (default 1)")
      ->type_name("N");
  sweep->add_option_function<std::string>(
           "--fail-on", [&options](const std::string&) { options.fail = true; },
           "Exit with --error-exitcode when a run deadlocked: deadlock")
      ->type_name("WHAT")
      ->check(CLI::IsMember({"deadlock"}).description(""));
  sweep->add_option("--error-exitcode", options.error_exitcode,
                    "Exit status for --fail-on, 1 to 255 (default 86)")
      ->type_name("N")
      ->check(CLI::Range(1, 255).description(""));
  sweep->add_flag("-v,--verbose", options.verbose,
                  "Print for every run the line that makes it again");
  add_colour_option(*sweep, options.colour);
  return sweep;
}

Ending sweep(const SweepOptions& options) {
  if (options.command.empty())
    throw Failure(
        "sweep needs a command to run: forkscope sweep [OPTIONS] [--] COMMAND [ARGUMENTS...]");
  refuse_unobservable(find_program(options.command.front()));
  std::optional<ReportFile> json;
  if (!options.json.empty() && options.json != "-") json.emplace(options.json, "--json");
  const SweepFolder folder(options.folder);
  try {
    const SweepPlan plan = plan_in(folder, options);
    if (options.plan) {
      print_plan(folder, plan);
      return {0, 0};
    }
    make_missing_runs(folder, plan, options.jobs);
    const SweepTable table = table_of(folder, plan);
    print_sweep(table, options.json, json,
                text_options(STDOUT_FILENO, options.colour, options.verbose));
    const SweepCounts counts = counts_of(table);
    const bool deadlocked = counts.deadlocked + counts.elsewhere + table.learned_deadlocks > 0;
    return {options.fail && deadlocked ? options.error_exitcode : 0, 0};
  } catch (const scenario::Interrupted& interrupted) {
    say(fmt::format("interrupted; go on with --folder={}", shell_line({folder.path()})));
    constexpr int kBySignal = 128;
    return {kBySignal + interrupted.signal, interrupted.signal};
  }
}

SweepTable table_of_sessions(const std::vector<std::string>& sessions) {
  SweepTable table;
  for (std::string session : sessions) {
    while (session.size() > 1 && session.ends_with('/')) session.pop_back();
    table.rows.push_back(row_of(session));
  }
  return table;
}

}  // namespace forkscope::cli
