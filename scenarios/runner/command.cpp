#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>

#include "scenarios/runner/campaign.hpp"
#include "scenarios/runner/compare.hpp"
#include "scenarios/runner/junit.hpp"
#include "scenarios/runner/markdown.hpp"
#include "scenarios/runner/new_scenario.hpp"
#include "scenarios/runner/runner.hpp"
#include "scenarios/runner/show.hpp"
#include "scenarios/runner/table.hpp"

namespace forkscope {
namespace {

using namespace scenario;

constexpr int kAgrees = 0, kDiffers = 1, kOwnFailure = 125;

constexpr const char* kRunExamples = R"(Examples:
  forkscope scenario run parquet-lock
      one scenario, every method, in every way
  forkscope scenario run --all --jobs 4 --repeat 5 --junit scenarios.xml
      the whole catalogue, for continuous integration
  forkscope scenario run --all --under 'Helgrind=valgrind --tool=helgrind'
      what another detector says of it

Ways to run (--how):
  bare      the program alone
  shim      under `forkscope run`
  lucky     the same, of a method that is another's with a timing that passes
  attached  the program alone; `forkscope attach` looks at the worker that hangs

Exit status:
  0    all as promised
  1    something differs
  125  forkscope itself failed)";

struct Arguments {
  std::string forkscope_exe;
  std::function<void(std::string_view)> answer;
  std::string name;
  bool source = false, brief = false, markdown = false;
  bool all = false;
  std::vector<std::string> scenarios, methods, how, under;
  std::size_t repeat = 1, jobs = 1;
  unsigned patience_ms = 2000;
  std::string json, junit, markdown_file;
};

std::vector<Entry> catalogue_of(const Arguments& arguments) {
  return load_catalogue(scenario_directory(arguments.forkscope_exe));
}

int list(const Arguments& arguments) {
  const std::vector<Entry> catalogue = catalogue_of(arguments);
  arguments.answer(arguments.markdown ? catalogue_markdown(catalogue) : list_text(catalogue));
  return kAgrees;
}

int show(const Arguments& arguments) {
  const std::vector<Entry> catalogue = catalogue_of(arguments);
  const Entry& entry = find_entry(catalogue, arguments.name);
  std::string text;
  if (!arguments.source) text += show_text(entry);
  if (!arguments.source && !arguments.brief) text += "\n";
  if (!arguments.brief) text += source_text(entry);
  arguments.answer(text);
  return kAgrees;
}

int make_new(const Arguments& arguments) {
  arguments.answer(fmt::format(
      "{0} is written; in forkscope's source tree, put it into scenarios/, add {1} to "
      "FORKSCOPE_SCENARIOS_ALL in scenarios/CMakeLists.txt, and build scenario_{1}\n",
      write_new_scenario(".", arguments.name).string(), arguments.name));
  return kAgrees;
}

/// On standard error, and only for eyes: one line, written over and over.
void print_progress(std::size_t over, std::size_t all, const std::string& what) {
  if (isatty(STDERR_FILENO) != 1) return;
  fmt::print(stderr, "\r{}/{} runs  {:<50.50}{}", over, all, over == all ? "" : what,
             over == all ? "\n" : "");
  std::fflush(stderr);
}

/// A file named on the command line: opened before the work, so that a bad name does not cost it.
class ResultFile {
 public:
  explicit ResultFile(const std::string& path) : path_(path) {
    if (path.empty()) return;
    if (path == "-")
      throw std::runtime_error("- is no file: standard output has the table; give a file's name");
    file_.open(path);
    if (!file_) fail();
  }
  bool wanted() const { return file_.is_open(); }
  void write(const std::string& text) {
    if (!(file_ << text << std::flush)) fail();
  }

 private:
  [[noreturn]] void fail() const {
    throw std::runtime_error(fmt::format("cannot write {}: {}", path_, std::strerror(errno)));
  }
  std::string path_;
  std::ofstream file_;
};

Campaign campaign_of(const Arguments& arguments) {
  Campaign campaign;
  campaign.forkscope_exe = arguments.forkscope_exe;
  campaign.scenarios = arguments.scenarios;
  campaign.methods = arguments.methods;
  campaign.repeat = arguments.repeat;
  campaign.jobs = arguments.jobs;
  campaign.patience = std::chrono::milliseconds(arguments.patience_ms);
  if (!arguments.how.empty()) campaign.how.clear();
  for (const How how : all_ways())
    for (const std::string& chosen : arguments.how)
      if (how_text(how) == chosen) campaign.how.push_back(how);
  return campaign;
}

int compare(const Arguments& arguments) {
  if (!arguments.junit.empty() || !arguments.how.empty())
    throw std::runtime_error("--under takes neither --junit nor --how");
  ResultFile json(arguments.json), markdown(arguments.markdown_file);
  std::vector<Detector> detectors;
  for (const std::string& text : arguments.under) detectors.push_back(parse_detector(text));
  const std::vector<Compared> all =
      run_comparison(campaign_of(arguments), detectors, catalogue_of(arguments), print_progress);
  arguments.answer(comparison_text(all, detectors));
  if (json.wanted()) json.write(comparison_json(all, detectors));
  if (markdown.wanted()) markdown.write(comparison_markdown(all, detectors));
  for (const Compared& each : all)
    if (!each.forkscope.agrees()) return kDiffers;
  return kAgrees;
}

int run(const Arguments& arguments) {
  if (arguments.all && !arguments.scenarios.empty())
    throw std::runtime_error("give names of scenarios or --all, not both");
  if (!arguments.under.empty()) return compare(arguments);
  ResultFile json(arguments.json), junit(arguments.junit), markdown(arguments.markdown_file);
  const std::vector<Case> cases =
      run_campaign(campaign_of(arguments), catalogue_of(arguments), print_progress);
  arguments.answer(cases_text(cases));
  if (json.wanted()) json.write(cases_json(cases));
  if (junit.wanted()) junit.write(cases_junit(cases));
  if (markdown.wanted()) markdown.write(cases_markdown(cases));
  for (const Case& each : cases)
    if (!each.agrees()) return kDiffers;
  return kAgrees;
}

int guarded(int (*action)(const Arguments&), const Arguments& arguments) {
  try {
    return action(arguments);
  } catch (const Interrupted& interrupted) {
    // End as the signal would have ended us, now that nothing is left running.
    std::fflush(nullptr);
    signal(interrupted.signal, SIG_DFL);
    raise(interrupted.signal);
    return kOwnFailure;
  }
}

void add_run_options(CLI::App& ran, Arguments& arguments) {
  ran.add_option("NAME", arguments.scenarios, "Scenarios; all when none is named");
  ran.add_flag("--all", arguments.all, "Run all scenarios");
  ran.add_option("--method", arguments.methods, "Only these methods")->delimiter(',');
  ran.add_option("--how", arguments.how, "Only in these ways: bare, shim, lucky, attached")
      ->delimiter(',')
      ->check(CLI::IsMember({"bare", "shim", "lucky", "attached"}));
  ran.add_option("--under", arguments.under,
                 "Compare with another detector: [NAME=]COMMAND, to which the program is added; "
                 "{name} in it is the scenario's name. May be repeated");
  ran.add_option("--repeat", arguments.repeat, "Runs of each; times are then medians")
      ->check(CLI::Range(1, 1000000));
  ran.add_option("--jobs", arguments.jobs, "Runs at a time; more than 1 blurs the times")
      ->check(CLI::Range(1, 1024));
  ran.add_option("--patience", arguments.patience_ms,
                 "Milliseconds without news after which a scenario calls its worker hung")
      ->check(CLI::Range(1, 3600000));
  ran.add_option("--json", arguments.json, "Write all runs to this file");
  ran.add_option("--junit", arguments.junit, "Write the cases as JUnit XML to this file");
  ran.add_option("--markdown", arguments.markdown_file, "Write the table to this file");
}

}  // namespace

void add_scenario_command(CLI::App& app, const std::string& forkscope_exe,
                          const std::function<void(std::string_view)>& answer, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->forkscope_exe = forkscope_exe;
  arguments->answer = answer;
  const auto act = [arguments, &exit_code](int (*action)(const Arguments&)) {
    return [arguments, &exit_code, action] { exit_code = guarded(action, *arguments); };
  };

  CLI::App* scenarios =
      app.add_subcommand("scenario", "Reproduce known causes of fork deadlocks, and their cures");
  scenarios->require_subcommand(1);

  CLI::App* listed = scenarios->add_subcommand("list", "Name the scenarios and their methods");
  listed->add_flag("--markdown", arguments->markdown, "All they say of themselves, as Markdown");
  listed->callback(act(list));

  CLI::App* shown =
      scenarios->add_subcommand("show", "Explain one scenario, its cure, and its source");
  shown->add_option("NAME", arguments->name, "Scenario")->required();
  CLI::Option* source = shown->add_flag("--source", arguments->source, "Print the source alone");
  shown->add_flag("--brief", arguments->brief, "Print the explanation alone")->excludes(source);
  shown->callback(act(show));

  CLI::App* made = scenarios->add_subcommand("new", "Write a scenario to begin with, NAME.cpp");
  made->add_option("NAME", arguments->name, "Lower-case words with hyphens between")->required();
  made->callback(act(make_new));

  CLI::App* ran = scenarios->add_subcommand(
      "run", "Run scenarios in several ways, and compare with what each promises");
  ran->footer(kRunExamples);
  add_run_options(*ran, *arguments);
  ran->callback(act(run));
}

}  // namespace forkscope
