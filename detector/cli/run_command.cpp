#include "detector/cli/run_command.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>

#include "detector/cli/arena_file.hpp"
#include "detector/cli/environment.hpp"
#include "detector/cli/first_looks.hpp"
#include "detector/cli/launch.hpp"
#include "detector/cli/local_symbols.hpp"
#include "detector/cli/program.hpp"
#include "detector/cli/report_file.hpp"
#include "detector/cli/reporter.hpp"
#include "detector/cli/session_folder.hpp"
#include "detector/cli/signals.hpp"
#include "detector/cli/supervise.hpp"
#include "detector/cli/watch_file.hpp"
#include "detector/cli/watchdog.hpp"
#include "detector/inspect/unique_fd.hpp"
#include "detector/symbols/symbols.hpp"
#include "detector/verdict/foreign_text.hpp"
#include "detector/verdict/looks.hpp"

namespace forkscope::cli {
namespace {

/// --fail-on goes before everything: a run that timed out because of a deadlock it was to fail on
/// failed on it.
Ending ending_of(const RunOptions& options, const NoiseFilter& noise, const Report& report) {
  if (fails(report, noise.fail_on(options.fail_on))) return {options.error_exitcode, 0};
  if (report.timed_out) return {kTimedOut, 0};
  if (report.signal) return {128 + *report.signal, *report.signal};
  return {report.exit.value_or(kForkscopeFailed), 0};
}

/// A run that is to fail on a finding is to end: the children that hang are killed, unless it is
/// said what is to happen to them.
std::string on_deadlock_of(const RunOptions& options, const NoiseFilter& noise) {
  const bool given = !options.on_deadlock.empty() || environment_has_on_deadlock();
  return given || noise.fail_on(options.fail_on).empty() ? options.on_deadlock : "kill";
}

/// What the watchdog told last: it and the reporter each have a thread, and neither outlives this.
class Board {
 public:
  void put(const std::vector<WatchedFinding>& findings) {
    std::lock_guard lock(mutex_);
    findings_ = findings;
  }
  std::vector<WatchedFinding> get() const {
    std::lock_guard lock(mutex_);
    return findings_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<WatchedFinding> findings_;
};

/// So that findings outlive a forkscope that is killed. What cannot be written now is said at the
/// end, if it cannot be written then.
void save_findings(const std::string& session, const std::vector<WatchedFinding>& findings,
                   const std::vector<FirstLook>& looks) {
  try {
    write_watched(session, findings, looks);
  } catch (const Failure&) {
  }
}

/// Where findings are written as they are made: who watches the file sees them while the program
/// hangs. Empty: nowhere.
UniqueFd open_log(const std::string& path) {
  if (path.empty()) return UniqueFd();
  UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY, 0666));
  if (!log)
    throw Failure(fmt::format("cannot write {}: {}; give another file with --log-file",
                              in_quotes(path), error_text(errno)));
  return log;
}

void say_what_was_lost(const ArenaFile& arena) {
  if (arena.growth_error() == 0) return;
  say(fmt::format(
      "the session folder's disk took no more records: {}; findings may be missing, give "
      "a folder with more space with --session=DIR",
      error_text(arena.growth_error())));
}

}  // namespace

Ending run_program(const RunOptions& options) {
  if (options.inject.help) {
    write_answer(inject_help());
    return {};
  }
  if (options.command.empty())
    throw Failure(
        "run needs a command to run: forkscope run [OPTIONS] [--] COMMAND [ARGUMENTS...]");
  // Whatever can be found wrong is found before the program starts.
  std::string path = find_program(options.command.front());
  refuse_unobservable(path);
  std::string library = preload_library();
  std::optional<ReportFile> json;
  if (options.json == "-")
    throw Failure("--json=- cannot be: standard output is the program's; give a file with "
                  "--json=FILE, or --json=/dev/stderr");
  if (!options.json.empty()) json.emplace(options.json, "--json");
  const UniqueFd log = open_log(options.log_file);
  const int out = log.get() >= 0 ? log.get() : STDERR_FILENO;
  const FindingFiles files(options.files, "run");
  const NoiseFilter noise(options.noise);
  const std::string on_deadlock = on_deadlock_of(options, noise);

  // From here on a signal waits, so that none ends us between creating the session and removing it.
  std::optional<Signals> signals(std::in_place);
  SessionFolder session(options.session);
  auto environment =
      program_environment(library, session.path(), on_deadlock, options.unsafe_calls,
                          options.check_descriptors, inject_settings(options.inject));
  ArenaFile arena(session.path());
  RunFacts facts;
  facts.command = options.command;
  AskedFor asked = injections_in(environment);
  facts.seed = asked.seed;
  facts.inject = std::move(asked.specs);
  write_facts(session.path(), facts, false);
  std::optional<LocalSymbols> local(std::in_place);
  const std::unique_ptr<Namer> namer = make_shared_namer();
  Board board;
  const auto watched = [&] { return board.get(); };
  Reporter* told = nullptr;
  FirstLooks looks(arena, [&] { told->look(); });
  const auto looked = [&] { return looks.taken(); };
  Reporter reporter(arena,
                    {options.command, text_options(out, options.colour, options.verbose),
                     options.quiet, out, options.timeout.has_value(),
                     options.watch ? std::function(watched) : nullptr, looked, &noise, namer.get(),
                     on_deadlock_action(on_deadlock) != OnDeadlock::kReport});
  told = &reporter;
  struct StopLooks {  // they tell the reporter, also where an error ends this
    FirstLooks& looks;
    ~StopLooks() { looks.stop(); }
  } const stop_looks{looks};
  std::optional<Watchdog> watchdog;
  if (options.watch) {
    // A temporary folder is nobody's to look into.
    const std::string kept = session.temporary() ? "" : session.path();
    const auto changed = [&, kept](const std::vector<WatchedFinding>& findings) {
      board.put(findings);
      if (!kept.empty()) save_findings(kept, findings, looks.taken());
      reporter.look_at_once();
    };
    watchdog.emplace(
        arena, Watchdog::Settings{*options.watch,
                                  {on_deadlock_action(on_deadlock), changed, namer.get()}});
  }

  // What can be lacking is asked for before the program starts, which is not left alone then.
  reporter.start();
  looks.start();
  if (watchdog) watchdog->start();
  const DescriptorLimit descriptors;
  descriptors.require_some();
  pid_t program = launch(path, options.command, environment, *signals, descriptors);
  session.keep();
  if (watchdog) watchdog->watch(program);
  if (options.on_start) {
    try {
      options.on_start(program);
    } catch (const std::exception& error) {
      say(error.what());
    }
  }
  RunEnd end = supervise(program, *signals, arena, reporter, {options.timeout, options.quiet});

  // The report may take a while: let Ctrl-C end it, with nothing left to clean up. The records stay
  // mapped.
  session.remove_temporary();
  signals.reset();
  if (watchdog) watchdog->stop();
  looks.stop();
  reporter.stop();
  if (options.on_end) options.on_end();
  facts.exit = end.exit;
  facts.signal = end.signal;
  facts.timed_out = end.timed_out;
  facts.watched = watched();
  facts.looks = looks.taken();
  // What is told while the program runs does not wait for the network; the report may.
  const std::unique_ptr<Namer> anew = local->asks_network() ? make_namer() : nullptr;
  local.reset();
  name_looks(facts.looks, anew ? *anew : *namer);
  Report report = reporter.finish(facts, anew ? *anew : *namer);
  say_what_was_lost(arena);
  if (!session.path().empty()) write_facts(session.path(), facts, true);
  if (json) json->write(report_json(report));
  files.write(report);
  noise.write(report);
  return ending_of(options, noise, report);
}

}  // namespace forkscope::cli
