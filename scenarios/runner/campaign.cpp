#include "scenarios/runner/campaign.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <stdexcept>

#include "scenarios/runner/processes.hpp"
#include "scenarios/support/descriptor.hpp"

namespace forkscope::scenario {
namespace fs = std::filesystem;
namespace {

/// Beyond the patience of the scenario itself; reached when even its parent hangs.
constexpr std::chrono::seconds kLimitBeyondPatience{20};
/// From here up `forkscope run` speaks of itself, not of the program.
constexpr int kFirstOwnStatus = 125, kLastOwnStatus = 127;

/// A folder that is removed with all that is in it.
class Scratch {
 public:
  Scratch() : path_((fs::temp_directory_path() / "forkscope-scenario.XXXXXX").string()) {
    if (mkdtemp(path_.data()) == nullptr) throw_errno("cannot create the folder " + path_);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  fs::path of_run(std::size_t run) const { return fs::path(path_) / std::to_string(run); }

 private:
  std::string path_;
};

std::vector<Case> cases_of(const Campaign& campaign, const std::vector<Entry>& catalogue) {
  std::vector<Case> cases;
  for (const auto& [entry, method] : choose(catalogue, campaign.scenarios, campaign.methods))
    for (const How how : campaign.how)
      if (applies(how, *method)) cases.push_back({entry->description.name, *method, how, {}});
  return cases;
}

Command command_of(const Case& which, const fs::path& program, const Campaign& campaign,
                   const fs::path& folder) {
  Command command;
  if (which.how == How::kShim || which.how == How::kLucky) {
    command.arguments = {campaign.forkscope_exe.string(), "run",       "--quiet",         "--json",
                         folder / "report.json",          "--session", folder / "session"};
    command.arguments.insert(command.arguments.end(), which.promised.run_options.begin(),
                             which.promised.run_options.end());
    command.arguments.push_back("--");
  }
  command.arguments.insert(command.arguments.end(),
                           {program.string(), "--method=" + which.promised.name,
                            fmt::format("--patience={}", campaign.patience.count())});
  if (which.how == How::kAttached)
    command.arguments.push_back(fmt::format(
        "--examine={} attach --stacks --json {} >/dev/null 2>&1",
        quoted(campaign.forkscope_exe.string()), quoted((folder / "attach.json").string())));
  command.environment = {{"TMPDIR", folder.string()}};
  command.limit = campaign.patience + kLimitBeyondPatience;
  return command;
}

std::string last_line(std::string text) {
  text.erase(text.find_last_not_of('\n') + 1);
  return text.substr(text.find_last_of('\n') + 1);
}

/// The report of a run under the shim; nullopt when the run had to be killed and wrote none.
std::optional<std::string> report_of(const Result& result, const fs::path& folder) {
  if (result.timed_out) return std::nullopt;
  std::ifstream file(folder / "report.json");
  const int status = WIFEXITED(result.wait_status) ? WEXITSTATUS(result.wait_status) : 0;
  if (!file || (status >= kFirstOwnStatus && status <= kLastOwnStatus))
    throw std::runtime_error(fmt::format("`forkscope run` made no report: {}",
                                         result.errors.empty()
                                             ? fmt::format("wait status {:#x}", result.wait_status)
                                             : last_line(result.errors)));
  return std::string(std::istreambuf_iterator<char>(file), {});
}

/// What `forkscope attach` wrote; nullopt when it was not asked, as nothing hung.
std::optional<FromOutside> answer_of(const fs::path& folder) {
  std::ifstream file(folder / "attach.json");
  if (!file) return std::nullopt;
  return read_answer(std::string(std::istreambuf_iterator<char>(file), {}));
}

Outcome outcome_of(How how, const Result& result, const fs::path& folder) {
  const bool shim = how == How::kShim || how == How::kLucky;
  Outcome outcome = read_outcome(result, shim ? report_of(result, folder) : std::nullopt);
  if (how == How::kAttached) outcome.attached = answer_of(folder);
  return outcome;
}

}  // namespace

std::string quoted(const std::string& text) {
  std::string word = "'";
  for (const char each : text) word += each == '\'' ? std::string("'\\''") : std::string(1, each);
  return word + "'";
}

std::vector<Chosen> choose(const std::vector<Entry>& catalogue,
                           const std::vector<std::string>& scenarios,
                           const std::vector<std::string>& methods) {
  for (const std::string& name : scenarios) find_entry(catalogue, name);
  const auto chosen = [](const std::vector<std::string>& names, const std::string& name) {
    return names.empty() || std::find(names.begin(), names.end(), name) != names.end();
  };
  std::vector<Chosen> result;
  std::set<std::string> known, unknown(methods.begin(), methods.end());
  for (const Entry& entry : catalogue) {
    if (!chosen(scenarios, entry.description.name)) continue;
    for (const Method& method : entry.description.methods) {
      known.insert(method.name);
      unknown.erase(method.name);
      if (chosen(methods, method.name)) result.push_back({&entry, &method});
    }
  }
  if (!unknown.empty())
    throw std::runtime_error(fmt::format("no method '{}' in the chosen scenarios; there are: {}",
                                         *unknown.begin(), fmt::join(known, ", ")));
  return result;
}

std::vector<Case> run_campaign(const Campaign& campaign, const std::vector<Entry>& catalogue,
                               const Progress& progress) {
  std::vector<Case> cases = cases_of(campaign, catalogue);
  const Scratch scratch;
  const std::size_t all = cases.size() * campaign.repeat;
  std::size_t over = 0;
  // Repetitions outermost: what disturbs the machine for a while spreads over all cases.
  run_processes(
      all, campaign.jobs,
      [&](std::size_t run) {
        const Case& which = cases[run % cases.size()];
        fs::create_directory(scratch.of_run(run));
        return command_of(which, find_entry(catalogue, which.scenario).program, campaign,
                          scratch.of_run(run));
      },
      [&](std::size_t run, const Result& result) {
        Case& which = cases[run % cases.size()];
        which.outcomes.push_back(outcome_of(which.how, result, scratch.of_run(run)));
        fs::remove_all(scratch.of_run(run));
        progress(++over, all,
                 which.scenario + " " + which.promised.name + " " + how_text(which.how));
      });
  return cases;
}

}  // namespace forkscope::scenario
