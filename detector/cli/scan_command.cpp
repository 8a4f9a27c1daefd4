#include "detector/cli/scan_command.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <charconv>
#include <optional>

#include "detector/cli/diagnose_suspects.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/local_symbols.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/inspect/suspects.hpp"
#include "detector/report/noise_text.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/symbols/symbols.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope scan [OPTIONS]";

constexpr const char* kExamples = R"(Examples:
  sudo forkscope scan
      lists the processes of this host that are deadlocked by a fork
  forkscope scan --user www-data --json - | jq -r '.found[].process.pid'
      the PIDs of one user's, for a script
  */5 * * * *  root  forkscope scan
      in a crontab: mail when something hangs, silence otherwise
  forkscope scan --suppressions=/etc/forkscope.supp
      leaves out what a rule matches, as in orphaned-lock:liblogger*

Nothing is stopped or changed.

Exit status:
  0    no deadlock by fork was found
  86   a process is deadlocked by a fork
  87   a process probably is, and none certainly
  125  forkscope itself failed)";

uid_t user_id(const std::string& user) {
  if (const passwd* entry = getpwnam(user.c_str())) return entry->pw_uid;
  uid_t id = 0;
  auto [end, error] = std::from_chars(user.data(), user.data() + user.size(), id);
  if (error != std::errc{} || end != user.data() + user.size())
    throw Failure(fmt::format("there is no user '{}'", user));
  return id;
}

bool belongs_to(pid_t pid, uid_t user) {
  struct stat info {};
  return stat(fmt::format("/proc/{}", pid).c_str(), &info) == 0 && info.st_uid == user;
}

ScanResult look_at_host(const ScanOptions& options, const NoiseFilter& noise) {
  ScanResult result;
  result.suppressions = unused(noise.rules());
  std::optional<uid_t> user;
  if (!options.user.empty()) user = user_id(options.user);
  std::vector<pid_t> suspects;
  const std::vector<pid_t> processes = all_processes();
  if (processes.empty())
    throw Failure("cannot list the processes: /proc is not mounted here, or not readable");
  for (pid_t pid : processes) {
    if (user && !belongs_to(pid, *user)) continue;
    auto suspicion = suspicion_of(pid);
    if (!suspicion) continue;
    ++result.looked_at;
    if (*suspicion == Suspicion::kWaits) suspects.push_back(pid);
    if (*suspicion == Suspicion::kUnreadable) ++result.unreadable;
  }

  auto namer = make_namer();
  for (Diagnosis& diagnosis : diagnose_suspects(suspects, *namer)) {
    if (is_suppressed(*diagnosis.finding, noise.rules(), result.suppressions))
      ++result.suppressed;
    else
      result.found.push_back(std::move(diagnosis));
  }
  return result;
}

int status_of(const ScanResult& result) {
  const auto found = [&](Answer answer) {
    return std::any_of(result.found.begin(), result.found.end(),
                       [&](const Diagnosis& diagnosis) { return diagnosis.answer == answer; });
  };
  if (found(Answer::kDeadlock)) return kFindingMade;
  return found(Answer::kProbable) ? kProbablyFound : 0;
}

}  // namespace

CLI::App* add_scan_command(CLI::App& app, ScanOptions& options) {
  CLI::App* scan =
      app.add_subcommand("scan", "List the processes of this host that are deadlocked by a fork");
  use_help(*scan, kUsage, kExamples);
  scan->add_option("--user", options.user, "Look at this user's processes only")->type_name("USER");
  scan->add_option("--json", options.json, "Write JSON to this file; - is standard output")
      ->type_name("FILE");
  add_finding_file_options(*scan, options.files);
  scan->add_flag("-v,--verbose", options.verbose, "Print the diagnosis of each; -vv: with all stacks");
  add_suppressions_option(*scan, options.noise);
  add_colour_option(*scan, options.colour);
  return scan;
}

int scan(const ScanOptions& options) {
  const LocalSymbols local;
  std::optional<ReportFile> file;
  if (!options.json.empty() && options.json != "-") file.emplace(options.json, "--json");
  const FindingFiles files(options.files, "scan");
  const NoiseFilter noise(options.noise);
  const ScanResult result = look_at_host(options, noise);
  if (file) file->write(scan_json(result));
  std::vector<const Diagnosis*> found;
  for (const Diagnosis& diagnosis : result.found) found.push_back(&diagnosis);
  files.write(findings_of(found), "");
  if (options.json == "-") {
    write_answer(scan_json(result));
  } else {
    const TextOptions text = text_options(STDOUT_FILENO, options.colour, options.verbose);
    write_answer(scan_text(result, text));
    if (options.verbose || isatty(STDOUT_FILENO) == 1)
      write_text(STDERR_FILENO, suppression_text(result.suppressions, result.suppressed, text));
    if (result.found.empty() && isatty(STDOUT_FILENO) == 1)
      say(fmt::format("none of {} processes is deadlocked by a fork", result.looked_at));
  }
  if (result.unreadable > 0)
    say(fmt::format("{} forked {} could not be looked at; `sudo forkscope scan` sees every process",
                    result.unreadable, result.unreadable == 1 ? "process" : "processes"));
  return status_of(result);
}

}  // namespace forkscope::cli
