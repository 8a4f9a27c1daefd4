#include "detector/cli/reporter.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "detector/cli/output.hpp"
#include "detector/cli/threads.hpp"
#include "detector/inspect/frozen_stack.hpp"
#include "detector/symbols/packages.hpp"
#include "detector/verdict/headline.hpp"

namespace forkscope::cli {
namespace {

using namespace std::chrono_literals;

/// How long a finding may lack its outcome (killed, aborted, ...) before it is printed without.
constexpr auto kOutcomePatience = 200ms;
/// How long a finding of the library may lack what the watchdog sees of the same process.
constexpr auto kViewPatience = 500ms;
/// How long a child must have been blocked before we say that the program may wait for it.
constexpr auto kAdvicePatience = 1s;
constexpr auto kShortestPause = 50ms;
/// A session with thousands of findings takes long to judge: looking may take a tenth of the time.
constexpr int kPausePerLook = 10;
/// The same for what is urgent.
constexpr int kPausePerUrgentLook = 2;

}  // namespace

bool printed_in_full(const Finding& finding, bool verbose) {
  if (finding.known) return verbose;
  return verbose || finding.severity == "deadlock" || finding.severity == "latent" ||
         (finding.certainty == "probable" && finding.outcome != "came back");
}

Report make_report(const Session& session, const RunFacts& facts, Namer& namer,
                   const NoiseFilter& noise) {
  Report report = judge(session, facts, unwind_frozen, namer, noise.rules());
  noise.compare(report);
  for (ForkReport& fork : report.forks)
    fork.still_there = std::find(facts.running.begin(), facts.running.end(), fork.child) !=
                       facts.running.end();
  for (Finding& finding : report.findings)
    finding.library = first_package_of(library_files(finding));
  return report;
}

Reporter::Reporter(const ArenaFile& arena, Settings settings)
    : arena_(arena),
      settings_(std::move(settings)),
      headlines_({[this](Namer& namer) { return hangs(namer); },
                  [this](const Finding& finding) {
                    write_text(settings_.out, headline_text(finding, settings_.text));
                  }}) {}

Reporter::~Reporter() { stop(); }

void Reporter::start() {
  if (settings_.quiet) return;
  thread_ = start_thread("findings are reported at the end only", [this] { run(); });
  // A rule or a baseline may speak of what only debug information names.
  if (settings_.noise == nullptr || settings_.noise->empty()) headlines_.start();
}

void Reporter::look() {
  {
    std::lock_guard lock(mutex_);
    wanted_ = true;
  }
  headlines_.expect();
  changed_.notify_one();
}

void Reporter::look_at_once() {
  {
    std::lock_guard lock(mutex_);
    wanted_ = urgent_ = true;
  }
  headlines_.expect();
  changed_.notify_one();
}

void Reporter::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_one();
  headlines_.stop();
  thread_.join();
}

void Reporter::run() {
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    auto due = [this] { return stopping_ || wanted_; };
    if (look_again_ || (blocked_ && !advised_)) {
      changed_.wait_for(lock, kShortestPause, due);
    } else {
      changed_.wait(lock, due);
    }
    if (stopping_) return;
    bool look = std::exchange(wanted_, false) || look_again_;
    urgent_ = false;
    lock.unlock();
    auto begin = Clock::now();
    if (look) look_now();
    advise();
    // What waits for its other half is to be told soon; what was named is not named again.
    const auto end = Clock::now();
    const auto pause = std::max<Clock::duration>(kShortestPause,
                                                 (end - begin) * (look_again_ ? 1 : kPausePerLook));
    lock.lock();
    changed_.wait_until(lock, std::min(end + pause, end + (end - begin) * kPausePerUrgentLook),
                        [this] { return stopping_; });
    changed_.wait_until(lock, end + pause, [this] { return stopping_ || urgent_; });
  }
}

RunFacts Reporter::facts_now(const Session& session) const {
  RunFacts facts;
  facts.command = settings_.command;
  for (const Process& process : living_processes(session)) facts.running.push_back(process.pid);
  if (settings_.watched) facts.watched = settings_.watched();
  if (settings_.looks) facts.looks = settings_.looks();
  return facts;
}

bool Reporter::tells_of_hang(const Finding& finding) const {
  const bool hangs = finding.severity == "deadlock" || finding.certainty == "probable";
  return hangs && finding.outcome != "came back" && (!finding.known || settings_.text.verbose);
}

std::vector<Finding> Reporter::hangs(Namer& namer) {
  const Session session = parse_session(arena_.snapshot());
  std::vector<Finding> findings = report_of(session, facts_now(session), namer).findings;
  std::erase_if(findings, [this](const Finding& finding) { return !tells_of_hang(finding); });
  return findings;
}

void Reporter::look_now() {
  look_again_ = false;
  const std::uint64_t expected = headlines_.expected();
  try {
    Session session = parse_session(arena_.snapshot());
    const RunFacts facts = facts_now(session);
    print_deadlocks(report_of(session, facts, *settings_.namer), facts);
    if (!look_again_) headlines_.told(expected);
  } catch (const std::exception&) {
    // finish() meets the same error and reports it, once.
  }
}

Report Reporter::report_of(const Session& session, const RunFacts& facts, Namer& namer) {
  return settings_.noise != nullptr ? make_report(session, facts, namer, *settings_.noise)
                                    : make_report(session, facts, namer);
}

void Reporter::print_deadlocks(const Report& report, const RunFacts& facts) {
  for (const Finding& finding : report.findings) {
    if (!tells_of_hang(finding) || !is_new(finding)) continue;
    if (!is_settled(finding, facts)) {
      look_again_ = true;
      continue;
    }
    print(finding);
    if (finding.outcome.empty() || finding.outcome == "blocked") {
      blocked_ = find_process(finding.process);
      blocked_since_ = Clock::now();
    }
  }
}

bool Reporter::is_new(const Finding& finding) const {
  return std::none_of(finding.records.begin(), finding.records.end(),
                      [&](std::uint64_t id) { return printed_.contains(id); });
}

bool Reporter::is_settled(const Finding& finding, const RunFacts& facts) {
  if (finding.records.empty()) return true;
  if (finding.outcome.empty()) return lasts_longer_than(finding, kOutcomePatience);
  const bool of_library = (finding.records.front() & kWatchedRecord) == 0;
  const bool seen =
      std::any_of(facts.looks.begin(), facts.looks.end(),
                  [&](const auto& look) { return look.record == finding.records.front(); }) ||
      std::any_of(facts.watched.begin(), facts.watched.end(),
                  [&](const auto& watched) { return watched.finding.process == finding.process; });
  if (!settings_.watched || !of_library || seen || finding.outcome != "blocked") return true;
  return lasts_longer_than(finding, kViewPatience);
}

bool Reporter::lasts_longer_than(const Finding& finding, std::chrono::milliseconds patience) {
  auto [it, first] = awaiting_.try_emplace(finding.records.front(), Clock::now());
  return !first && Clock::now() - it->second >= patience;
}

void Reporter::print(const Finding& finding) {
  printed_.insert(finding.records.begin(), finding.records.end());
  write_text(settings_.out, headlines_.claim(finding) ? details_text(finding, settings_.text)
                                                      : finding_text(finding, settings_.text));
}

void Reporter::advise() {
  if (!blocked_ || advised_ || Clock::now() - blocked_since_ < kAdvicePatience) return;
  if (settings_.timeout || !alive(*blocked_)) {
    blocked_.reset();
    return;
  }
  advised_ = true;
  say(
      fmt::format("the program may now wait for ever for process {}; {}--timeout=T ends that",
                  blocked_->pid, settings_.ends_hung ? "" : "--on-deadlock=kill or "));
}

Report Reporter::finish(RunFacts& facts, Namer& namer) {
  Session session = parse_session(arena_.snapshot());
  for (const Process& process : living_processes(session)) facts.running.push_back(process.pid);
  Report report = report_of(session, facts, namer);
  if (session.hellos.empty())  // also with --quiet: silence would pass for "nothing wrong"
    say("nothing was observed: the preload library was not loaded into the program, or could not "
        "write its records");
  if (settings_.quiet) return report;
  for (const Finding& finding : report.findings)
    if (printed_in_full(finding, settings_.text.verbose) && is_new(finding)) print(finding);
  write_text(settings_.out, handlers_text(report, settings_.text));
  write_text(settings_.out, injections_text(report, settings_.text));
  write_text(settings_.out, summary_text(report, settings_.text));
  return report;
}

}  // namespace forkscope::cli
