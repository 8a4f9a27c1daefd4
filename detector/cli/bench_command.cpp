#include "detector/cli/bench_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <stdexcept>

#include "bench/cost/drive/limits.hpp"
#include "bench/cost/drive/run.hpp"
#include "bench/cost/report/compare.hpp"
#include "bench/cost/report/page.hpp"
#include "bench/cost/report/result_json.hpp"
#include "bench/cost/report/text.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/output.hpp"
#include "detector/cli/program.hpp"
#include "detector/cli/report_file.hpp"

namespace forkscope::cli {
namespace {

namespace fs = std::filesystem;

constexpr const char* kUsage = "forkscope bench [OPTIONS]";

constexpr const char* kExamples = R"(Examples:
  forkscope bench --html cost.html
      a minute of measuring: what fork, vfork, posix_spawn, a fork server and Python's start
      methods cost, by the parent's memory, threads and descriptors, and what to use
  forkscope bench --full --html cost.html --json cost.json
      a quarter of an hour: more parents, longer tasks, narrower intervals
  forkscope bench --filter '^(fork|posix_spawn)/resident=1GiB$'
      only these; --list prints the names of all
  forkscope bench --compare old.json new.json
      what changed beyond noise

Use an otherwise idle machine. What does not fit (memory, limits of the user or the control group)
is skipped with a word.

Exit status:
  0    measured, compared or listed
  125  forkscope itself failed, or nothing could be measured)";

constexpr double kQuickSeconds = 58, kFullSeconds = 880;

std::string read_report(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad())
    throw Failure(
        fmt::format("cannot read {}; give a file that `forkscope bench --json FILE` wrote", path));
  return text;
}

cost::Result load(const std::string& path) {
  try {
    return cost::parse_result(read_report(path));
  } catch (const Failure&) {
    throw;
  } catch (const std::runtime_error& error) {
    throw Failure(fmt::format("cannot use {}: {}", path, error.what()));
  }
}

/// lib/forkscope/bench beside bin, in the build tree and in an installation.
std::string programs_folder(const fs::path& self) {
  const fs::path folder =
      (self.parent_path() / FORKSCOPE_PRELOAD_RELATIVE / "bench").lexically_normal();
  if (access((folder / "cost_bench").c_str(), X_OK) != 0)
    throw Failure(fmt::format(
        "the measuring program {} is missing; build with FORKSCOPE_BUILD_BENCH, and install "
        "forkscope as a whole",
        (folder / "cost_bench").string()));
  return folder.string();
}

std::string python_to_use(const std::string& wanted) {
  std::string path;
  try {
    path = find_program(wanted.empty() ? "python3" : wanted);
  } catch (const Failure& failure) {
    if (wanted.empty()) return "";
    throw Failure(failure.what());  // no status of its own: it is no command to run
  }
  if (wanted.empty()) return path;
  const auto probe =
      cost::run_program({path, "-c", "import multiprocessing, mmap; print(1)"}, 60, false);
  if (probe.status != 0 || probe.output != "1\n")
    throw Failure(
        fmt::format("{} is no Python 3 that can import multiprocessing; give another "
                    "with --python=PATH",
                    wanted));
  return path;
}

std::string quoted(const std::string& word) {
  if (!word.empty() &&
      word.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                             "-_./=:,+@%") == std::string::npos)
    return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? "'\\''" : std::string(1, c);
  return text + "'";
}

std::string invocation(const BenchOptions& options) {
  std::string text = std::string("forkscope bench --") + (options.full ? "full" : "quick");
  const auto add = [&](const char* name, const std::string& value) {
    if (!value.empty()) text += fmt::format(" {} {}", name, quoted(value));
  };
  add("--filter", options.filter);
  add("--memory", options.memory);
  add("--python", options.python);
  return text;
}

cost::RunOptions run_options(const BenchOptions& options) {
  cost::RunOptions run;
  const fs::path self = fs::read_symlink("/proc/self/exe");
  run.full = options.full;
  run.filter = options.filter;
  run.programs.folder = programs_folder(self);
  run.programs.python = python_to_use(options.python);
  run.command = self.string();
  run.ratios = (self.parent_path() / "forkscope-bench").string();
  run.invocation = invocation(options);
  run.seconds = options.full ? kFullSeconds : kQuickSeconds;
  if (!options.memory.empty()) {
    try {
      run.most_memory = cost::parse_size(options.memory);
    } catch (const std::invalid_argument& error) {
      throw Failure(fmt::format("--memory: {}", error.what()));
    }
    if (run.most_memory < (1 << 20)) throw Failure("--memory: 1MiB is the least");
  }
  return run;
}

cost::Selection select(const cost::RunOptions& run) {
  try {
    cost::Selection selection = cost::select_cases(run, cost::look_up_limits());
    if (selection.cases.empty() && selection.prices.empty())
      throw Failure(fmt::format("no case matches --filter={}; `forkscope bench --list` prints them",
                                run.filter));
    return selection;
  } catch (const std::regex_error&) {
    throw Failure(fmt::format("--filter={} is no regular expression (ECMAScript)", run.filter));
  }
}

void list_cases(const cost::Selection& selection) {
  std::string text;
  for (const cost::Planned& one : selection.cases)
    text +=
        cost::name_of(one.spec) + (one.skip.empty() ? "" : "  (skipped: " + one.skip + ")") + "\n";
  for (const std::string& name : selection.prices) text += name + "\n";
  write_answer(text);
}

/// A line that is written over, on a terminal.
class ProgressLine {
 public:
  ~ProgressLine() {
    if (shown_) write_text(STDERR_FILENO, "\r\x1b[K");
  }
  void show(const cost::Progress& progress) {
    if (!terminal_) return;
    const int left = int(progress.seconds_left + 0.5);
    const std::string count =
        progress.all > 0 ? fmt::format("{:>3} %  ", 100 * progress.done / progress.all) : "";
    write_text(STDERR_FILENO, fmt::format("\r\x1b[K{}{}:{:02} left  {:.60}", count, left / 60,
                                          left % 60, progress.what));
    shown_ = true;
  }

 private:
  bool terminal_ = isatty(STDERR_FILENO) == 1, shown_ = false;
};

cost::Result measure(const cost::RunOptions& run, const cost::Selection& selection) {
  cost::make_interruptible();
  ProgressLine line;
  try {
    return cost::run_bench(run, selection,
                           [&](const cost::Progress& progress) { line.show(progress); });
  } catch (const cost::Interrupted&) {
    throw Failure("interrupted; no report was written");
  } catch (const std::runtime_error& error) {
    throw Failure(error.what());
  }
}

void check_usage(const BenchOptions& options) {
  if (options.quick && options.full) throw Failure("give --quick or --full, not both");
  const int reads = int(!options.compare.empty()) + int(!options.from.empty()) + int(options.list);
  if (reads > 1) throw Failure("give one of --compare, --from and --list");
  if (!options.compare.empty() && !options.html.empty())
    throw Failure("--compare writes text and JSON; for a page of one result give --from=FILE");
}

}  // namespace

CLI::App* add_bench_command(CLI::App& app, BenchOptions& options) {
  CLI::App* bench =
      app.add_subcommand("bench", "Measure what creating a process costs here, and what to use");
  use_help(*bench, kUsage, kExamples);
  bench->add_flag("--quick", options.quick, "Within a minute (default)");
  bench->add_flag("--full", options.full, "Within a quarter of an hour");
  bench->add_option("--html", options.html, "Write the report with plots to this file")
      ->type_name("FILE");
  bench->add_option("--json", options.json, "Write JSON to this file; - is standard output")
      ->type_name("FILE");
  bench->add_option("--filter", options.filter, "Only cases whose name this matches somewhere")
      ->type_name("REGEX");
  bench->add_flag("--list", options.list, "Print the names of the cases, and measure nothing");
  bench->add_option("--python", options.python, "Python to measure (default python3)")
      ->type_name("PATH");
  bench->add_option("--memory", options.memory, "The largest parent, such as 4GiB")
      ->type_name("SIZE");
  bench
      ->add_option("--compare", options.compare,
                   "Two JSON reports: what changed beyond noise; measures nothing")
      ->type_name("FILE")
      ->expected(2);
  bench->add_option("--from", options.from, "Report a recorded JSON report again; measures nothing")
      ->type_name("FILE");
  return bench;
}

int bench(const BenchOptions& options) {
  check_usage(options);
  if (options.list) {
    list_cases(select(run_options(options)));
    return 0;
  }
  std::optional<ReportFile> json, html;
  if (!options.json.empty() && options.json != "-") json.emplace(options.json, "--json");
  if (!options.html.empty()) html.emplace(options.html, "--html");
  if (!options.compare.empty()) {
    const auto compared = cost::compare_results(load(options.compare[0]), load(options.compare[1]));
    if (json) json->write(cost::compared_json(compared));
    write_answer(options.json == "-" ? cost::compared_json(compared)
                                     : cost::compared_text(compared));
    return 0;
  }
  cost::Result result;
  if (!options.from.empty()) {
    result = load(options.from);
  } else {
    const cost::RunOptions run = run_options(options);
    result = measure(run, select(run));
  }
  if (json) json->write(cost::result_json(result));
  if (html) html->write(cost::result_page(result));
  write_answer(options.json == "-" ? cost::result_json(result) : cost::result_text(result));
  return 0;
}

}  // namespace forkscope::cli
