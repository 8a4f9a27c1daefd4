#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <sstream>
#include <stdexcept>

#include "scenarios/runner/campaign.hpp"
#include "scenarios/runner/runner.hpp"
#include "scenarios/runner/table.hpp"

namespace forkscope {
namespace {

using namespace scenario;

constexpr int kAgrees = 0, kDiffers = 1, kOwnFailure = 125;
constexpr std::size_t kTextWidth = 96;

struct Arguments {
  std::string forkscope_exe;
  std::string name;
  bool source = false;
  bool all = false;
  std::vector<std::string> scenarios, methods, how;
  std::size_t repeat = 1, jobs = 1;
  unsigned patience_ms = 2000;
  std::string json;
};

std::vector<Entry> catalogue_of(const Arguments& arguments) {
  return load_catalogue(scenario_directory(arguments.forkscope_exe));
}

int list(const Arguments& arguments) {
  // The methods below the title: beside it, the longest list would set the width of all.
  std::vector<std::vector<std::string>> rows = {{"scenario", "what happens, and the methods"}};
  for (const Entry& entry : catalogue_of(arguments)) {
    std::string methods;
    for (const Method& method : entry.description.methods)
      methods += (methods.empty() ? "" : ", ") + method.name;
    rows.push_back({entry.description.name, entry.description.title});
    rows.push_back({"", "  " + methods});
  }
  fmt::print("{}", aligned(rows));
  return kAgrees;
}

/// The text in lines of at most kTextWidth, each indented.
std::string wrapped(const std::string& text) {
  std::string result, line;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!line.empty() && line.size() + 1 + word.size() > kTextWidth) {
      result += "  " + line + "\n";
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return result + "  " + line + "\n";
}

int show(const Arguments& arguments) {
  const std::vector<Entry> catalogue = catalogue_of(arguments);
  const Entry& entry = find_entry(catalogue, arguments.name);
  if (arguments.source) {
    std::ifstream file(entry.source);
    if (!file)
      throw std::runtime_error(fmt::format("cannot read the source {}: {}", entry.source.string(),
                                           std::strerror(errno)));
    fmt::print("{}", std::string(std::istreambuf_iterator<char>(file), {}));
    return kAgrees;
  }
  const Description& description = entry.description;
  fmt::print("{}: {}\n\n", description.name, description.title);
  fmt::print("Cause\n{}\nMechanism\n{}\nCure\n{}\nMethods\n", wrapped(description.cause),
             wrapped(description.mechanism), wrapped(description.cure));
  std::vector<std::vector<std::string>> rows;
  for (const Method& method : description.methods) {
    const std::set<ExpectedFinding> findings(method.findings.begin(), method.findings.end());
    rows.push_back({"", method.name, end_text(method),
                    method.silent      ? "silent"
                    : findings.empty() ? "no deadlock"
                                       : findings_text(findings),
                    method.note});
  }
  fmt::print("{}\nSource: {}\nProgram: {}\nTry it: forkscope run -- {}\n", aligned(rows),
             entry.source.string(), entry.program.string(), entry.program.string());
  return kAgrees;
}

/// On standard error, and only for eyes.
void print_progress(std::size_t over, std::size_t all) {
  if (isatty(STDERR_FILENO) != 1) return;
  fmt::print(stderr, "\r{}/{} runs{}", over, all, over == all ? "\n" : "");
  std::fflush(stderr);
}

int run(const Arguments& arguments) {
  if (arguments.all && !arguments.scenarios.empty())
    throw std::runtime_error("give names of scenarios or --all, not both");
  std::ofstream json;
  if (!arguments.json.empty()) {
    json.open(arguments.json);  // before the work, so that a bad name does not cost it
    if (!json)
      throw std::runtime_error(
          fmt::format("cannot write {}: {}", arguments.json, std::strerror(errno)));
  }
  Campaign campaign;
  campaign.forkscope_exe = arguments.forkscope_exe;
  campaign.scenarios = arguments.scenarios;
  campaign.methods = arguments.methods;
  campaign.repeat = arguments.repeat;
  campaign.jobs = arguments.jobs;
  campaign.patience = std::chrono::milliseconds(arguments.patience_ms);
  if (!arguments.how.empty()) {
    campaign.how.clear();
    for (const std::string& how : arguments.how)
      campaign.how.push_back(how == "bare" ? How::kBare : How::kShim);
  }

  const std::vector<Case> cases = run_campaign(campaign, catalogue_of(arguments), print_progress);
  fmt::print("{}", cases_text(cases));
  if (json.is_open() && !(json << cases_json(cases) << std::flush))
    throw std::runtime_error(
        fmt::format("cannot write {}: {}", arguments.json, std::strerror(errno)));
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
  } catch (const std::exception& error) {
    fmt::print(stderr, "forkscope: {}\n", error.what());
    return kOwnFailure;
  }
}

}  // namespace

void add_scenario_command(CLI::App& app, const std::string& forkscope_exe, int& exit_code) {
  const auto arguments = std::make_shared<Arguments>();
  arguments->forkscope_exe = forkscope_exe;
  const auto act = [arguments, &exit_code](int (*action)(const Arguments&)) {
    return [arguments, &exit_code, action] { exit_code = guarded(action, *arguments); };
  };

  CLI::App* scenarios =
      app.add_subcommand("scenario", "Reproduce known causes of fork deadlocks, and their cures");
  scenarios->require_subcommand(1);

  scenarios->add_subcommand("list", "Name the scenarios and their methods")->callback(act(list));

  CLI::App* shown = scenarios->add_subcommand("show", "Explain one scenario");
  shown->add_option("NAME", arguments->name, "Scenario")->required();
  shown->add_flag("--source", arguments->source, "Print its source");
  shown->callback(act(show));

  CLI::App* ran = scenarios->add_subcommand(
      "run",
      "Run scenarios bare and under `forkscope run`, and compare with what each promises.\n"
      "Exit status: 0 all as promised, 1 something differs, 125 forkscope itself failed");
  ran->add_option("NAME", arguments->scenarios, "Scenarios; all when none is named");
  ran->add_flag("--all", arguments->all, "Run all scenarios");
  ran->add_option("--method", arguments->methods, "Only these methods")->delimiter(',');
  ran->add_option("--how", arguments->how, "Only bare, or only under the shim")
      ->delimiter(',')
      ->check(CLI::IsMember({"bare", "shim"}));
  ran->add_option("--repeat", arguments->repeat, "Runs of each; times are then medians")
      ->check(CLI::Range(1, 1000000));
  ran->add_option("--jobs", arguments->jobs, "Runs at a time; more than 1 blurs the times")
      ->check(CLI::Range(1, 1024));
  ran->add_option("--patience", arguments->patience_ms,
                  "Milliseconds without news after which a scenario calls its worker hung")
      ->check(CLI::Range(1, 3600000));
  ran->add_option("--json", arguments->json, "Write all runs to this file");
  ran->callback(act(run));
}

}  // namespace forkscope
