#include "detector/cli/attach_command.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <optional>

#include "detector/cli/diagnose_process.hpp"
#include "detector/cli/diagnose_suspects.hpp"
#include "detector/cli/failure.hpp"
#include "detector/cli/help.hpp"
#include "detector/cli/local_symbols.hpp"
#include "detector/cli/processes.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/inspect/socket_limit.hpp"
#include "detector/inspect/stopped_threads.hpp"
#include "detector/inspect/suspects.hpp"
#include "detector/report/print_diagnosis.hpp"
#include "detector/symbols/symbols.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope::cli {
namespace {

constexpr const char* kUsage = "forkscope attach [OPTIONS] (PID | --core CORE [EXE])";

constexpr const char* kExamples = R"(Examples:
  forkscope attach 4711
      tells whether process 4711 is deadlocked by a fork, and what its threads wait for
  forkscope attach --stacks 4711
      stops each thread for an instant, for stacks that are complete
  forkscope attach --follow-parent 4711
      tells as well what the process it was copied from does now
  forkscope attach --core core.4711
      the same for a process that was dumped

The process is not stopped and not changed, unless --stacks is given.

Exit status:
  0    the question was answered, and no deadlock by fork was found
  86   the process, or one that it waits for, is deadlocked by a fork
  87   it probably is
  125  forkscope itself failed, or there is no such process)";

int status_of(const Diagnosis& diagnosis) {
  const Answer answer = whole_answer(diagnosis);
  if (answer == Answer::kDeadlock) return kFindingMade;
  return answer == Answer::kProbable ? kProbablyFound : 0;
}

pid_t pid_of(const std::string& target) {
  if (target.empty())
    throw Failure("give the PID of a process, or --core and a file; `forkscope scan` lists the "
                  "processes that hang");
  pid_t pid = 0;
  auto [end, error] = std::from_chars(target.data(), target.data() + target.size(), pid);
  if (error != std::errc{} || end != target.data() + target.size() || pid <= 0)
    throw Failure(fmt::format("{} is no PID; give that of a process, or --core and a file; "
                              "`forkscope scan` lists the processes that hang",
                              in_quotes(target)));
  return pid;
}

/// Why there is nothing to look at.
std::string why_not_there(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  for (std::string word; status >> word;) {
    pid_t process = 0;
    if (word == "Tgid:" && status >> process && process != pid)
      return fmt::format("{} is a thread of process {}; run `forkscope attach {}`", pid, process,
                         process);
  }
  if (kill(pid, 0) == 0 || errno == EPERM)
    return fmt::format("process {} is hidden from us (/proc with hidepid, or not mounted); run "
                       "`sudo forkscope attach {}`",
                       pid, pid);
  return fmt::format("there is no process {}", pid);
}

/// Before threads are stopped: what the process will notice of it.
void announce_stop(pid_t pid, Namer& namer) {
  auto evidence = observe(pid, {.stacks = false, .relatives = false}, namer);
  if (!evidence || !evidence->process.missing.empty()) return;
  std::string disturbed, perhaps;
  const auto add = [](std::string& list, const char* call, pid_t tid) {
    list += fmt::format("{}{}() of thread {}", list.empty() ? "; " : ", ", call, tid);
  };
  for (const ThreadEvidence& thread : evidence->process.threads) {
    if (!thread.call) continue;
    const char* call = disturbed_call(thread.call->number);
    if (call != nullptr) {
      add(disturbed, call, thread.tid);
      continue;
    }
    const SocketLimit limit = socket_limit(pid, *thread.call, call);
    if (limit == SocketLimit::kLimited) add(disturbed, call, thread.tid);
    if (limit == SocketLimit::kUnknown) add(perhaps, call, thread.tid);
  }
  if (!disturbed.empty()) disturbed += " will fail with EINTR";
  if (!perhaps.empty())
    perhaps += " will fail with EINTR if the socket has a time limit (SO_RCVTIMEO, SO_SNDTIMEO)";
  const std::size_t count = evidence->process.threads.size();
  say(fmt::format("stopping {} of process {} for an instant{}{}",
                  count == 1 ? "the thread" : fmt::format("each of the {} threads", count), pid,
                  disturbed, perhaps));
}

Diagnosis diagnose_target(const AttachOptions& options, Namer& namer) {
  if (!options.core.empty()) {
    if (!options.target.empty() && access(options.target.c_str(), R_OK) != 0)
      throw Failure(fmt::format("cannot open {}: {}", options.target, error_text(errno)));
    const Evidence evidence = observe_core(options.core, options.target, namer);
    return diagnosis_of(evidence, namer);
  }
  const pid_t pid = pid_of(options.target);
  if (options.stacks) announce_stop(pid, namer);
  auto diagnosis = diagnose_process(pid, {.stop = options.stacks}, namer);
  if (!diagnosis) throw Failure(why_not_there(pid));
  if (!diagnosis->readable && !diagnosis->missing.empty()) {
    const Missing& missing = diagnosis->missing.front();
    throw Failure(fmt::format("process {} cannot be looked at: {}{}", pid, missing.why,
                              missing.cure.empty() ? "" : "; run `" + missing.cure + "`"));
  }
  return *std::move(diagnosis);
}

/// Who attaches to a program that hangs attaches to the process that was started, which often only
/// waits for a child that hangs.
void look_at_children(Diagnosis& diagnosis, Namer& namer) {
  std::vector<pid_t> suspects;
  for (const Process& child : descendants_of(diagnosis.pid))
    if (suspicion_of(child.pid) == Suspicion::kWaits) suspects.push_back(child.pid);
  diagnosis.hung_children = diagnose_suspects(suspects, namer);
}

std::vector<Diagnosis> ancestors_of(const Diagnosis& diagnosis, Namer& namer) {
  std::vector<Diagnosis> ancestors;
  for (pid_t next = diagnosis.forked_by; next != 0;) {
    auto ancestor = diagnose_process(next, {}, namer);
    if (!ancestor) break;
    next = ancestor->forked_by;
    ancestors.push_back(*std::move(ancestor));
  }
  return ancestors;
}

}  // namespace

CLI::App* add_attach_command(CLI::App& app, AttachOptions& options) {
  CLI::App* attach =
      app.add_subcommand("attach", "Tell whether a running process is deadlocked by a fork");
  use_help(*attach, kUsage, kExamples);
  attach
      ->add_option("target", options.target,
                   "The process to look at; with --core: its program, if that is not where it was")
      ->type_name("PID");
  attach->add_option("--core", options.core, "Look at this core file in place of a process")
      ->type_name("CORE");
  attach->add_flag("--stacks", options.stacks,
                   "Stop each thread for an instant to read its whole stack; this can end system "
                   "calls such as epoll_wait(), or recv() of a socket with a time limit, early "
                   "(EINTR)");
  attach->add_flag("--follow-parent", options.follow_parent,
                   "Tell the same of the process it was copied from, and so on");
  attach->add_option("--json", options.json, "Write JSON to this file; - is standard output")
      ->type_name("FILE");
  add_finding_file_options(*attach, options.files);
  attach->add_flag("-v,--verbose", options.verbose, "Show stacks and reasons; -vv: all threads and whole stacks");
  add_colour_option(*attach, options.colour);
  return attach;
}

int attach(const AttachOptions& options) {
  const LocalSymbols local;
  std::optional<ReportFile> file;
  if (!options.json.empty() && options.json != "-") file.emplace(options.json, "--json");
  const FindingFiles files(options.files, "attach");
  auto namer = make_namer();
  Diagnosis diagnosis = diagnose_target(options, *namer);
  if (options.core.empty() && !diagnosis.finding) look_at_children(diagnosis, *namer);
  std::vector<Diagnosis> ancestors;
  if (options.follow_parent) ancestors = ancestors_of(diagnosis, *namer);
  if (file) file->write(diagnosis_json(diagnosis, ancestors));
  files.write(findings_of({&diagnosis}), diagnosis.program);
  if (options.json == "-") {
    write_answer(diagnosis_json(diagnosis, ancestors));
  } else {
    const TextOptions text = text_options(STDOUT_FILENO, options.colour, options.verbose);
    std::string all = diagnosis_text(diagnosis, text);
    for (const Diagnosis& ancestor : ancestors) all += diagnosis_text(ancestor, text);
    write_answer(all);
  }
  return status_of(diagnosis);
}

}  // namespace forkscope::cli
