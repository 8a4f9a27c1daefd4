#include "detector/cli/watch_judge.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <time.h>

#include <algorithm>
#include <filesystem>

#include "detector/cli/diagnose_process.hpp"
#include "detector/cli/threads.hpp"
#include "detector/inspect/suspects.hpp"
#include "detector/verdict/outcomes.hpp"
#include "detector/verdict/outside/waits.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto kStopPatience = 2s;
constexpr auto kTellPause = 200ms;
constexpr std::size_t kMostPrepared = 4;

std::uint64_t monotonic_now() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::uint64_t(now.tv_sec) * 1'000'000'000u + std::uint64_t(now.tv_nsec);
}

bool tells_of_hang(Answer answer) {
  return answer == Answer::kDeadlock || answer == Answer::kProbable;
}

bool any_waits_for_ever(const ProcessEvidence& process) {
  return std::any_of(process.threads.begin(), process.threads.end(),
                     [&](const ThreadEvidence& thread) {
                       const Wait wait = wait_of(thread, process.abi);
                       return wait.kind == WaitKind::kFutex && wait.for_ever;
                     });
}

}  // namespace

WatchJudge::WatchJudge(const ArenaFile& arena, Settings settings)
    : arena_(arena), settings_(std::move(settings)), namer_(*settings_.namer) {}

WatchJudge::~WatchJudge() { stop(); }

void WatchJudge::start() {
  thread_ = start_thread("what the watchdog sees is no longer judged", [this] { run(); });
}

void WatchJudge::stop() {
  if (!thread_.joinable()) return;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    stop_by_ = Clock::now() + kStopPatience;
    std::erase_if(jobs_, [](const Job& job) { return job.question == Question::kPrepare; });
  }
  changed_.notify_one();
  thread_.join();
}

void WatchJudge::add(Question question, const Process& process) {
  {
    std::lock_guard lock(mutex_);
    jobs_.push_back({question, process, false});
  }
  changed_.notify_one();
}

void WatchJudge::prepare(const Process& process, bool forked) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return;
    jobs_.push_back({Question::kPrepare, process, forked});
  }
  changed_.notify_one();
}

void WatchJudge::ask(const Process& process) { add(Question::kDeadlock, process); }
void WatchJudge::ask_spin(const Process& process) { add(Question::kSpin, process); }
void WatchJudge::ask_rounds(const Process& process) { add(Question::kRounds, process); }
void WatchJudge::went_on(const Process& process) { add(Question::kWentOn, process); }

std::vector<WatchJudge::Answered> WatchJudge::take_answers() {
  std::lock_guard lock(mutex_);
  return std::exchange(answers_, {});
}

std::vector<WatchedFinding> WatchJudge::findings() {
  std::lock_guard lock(mutex_);
  std::vector<WatchedFinding> findings;
  for (const auto& [pid, entry] : findings_) findings.push_back(entry.second);
  std::sort(findings.begin(), findings.end(),
            [](const WatchedFinding& a, const WatchedFinding& b) { return a.time < b.time; });
  return findings;
}

void WatchJudge::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    const bool idle = jobs_.empty() && patience_.empty() && sampling_.empty();
    if (stopping_ && (idle || Clock::now() >= stop_by_)) {
      lock.unlock();
      return tell_changes(true);
    }
    if (jobs_.empty()) {
      const auto ready = [this] { return stopping_ || !jobs_.empty(); };
      if (const auto due = next_due()) {
        // While stopping there is nobody to wake us but the clock.
        if (stopping_) {
          changed_.wait_until(lock, std::min(*due, stop_by_));
        } else {
          changed_.wait_until(lock, *due, ready);
        }
      } else {
        changed_.wait(lock, ready);
      }
    }
    std::optional<Job> job;
    if (!jobs_.empty()) {
      // Preparation is for when there is nothing else to do.
      const auto urgent = std::find_if(jobs_.begin(), jobs_.end(), [](const Job& waiting) {
        return waiting.question != Question::kPrepare;
      });
      const auto next = urgent != jobs_.end() ? urgent : jobs_.begin();
      job = *next;
      jobs_.erase(next);
    }
    lock.unlock();
    try {
      while (work_on_due()) {
      }
      if (job) answer(*job);
    } catch (const std::exception&) {
      // A file of the program that cannot be read, memory that is short: this look gives nothing.
      if (job && job->question != Question::kPrepare)
        reply(job->process,
              job->question == Question::kSpin || job->question == Question::kRounds, false, false);
    }
    lock.lock();
    const bool pause = jobs_.empty();
    lock.unlock();
    tell_changes(pause);
    lock.lock();
  }
}

/// A hundred children may hang within a moment.
void WatchJudge::tell_changes(bool now) {
  if (!untold_ || (!now && Clock::now() - told_ < kTellPause)) return;
  untold_ = false;
  settings_.changed(findings());
  told_ = Clock::now();
}

std::optional<WatchJudge::Clock::time_point> WatchJudge::next_due() const {
  std::optional<Clock::time_point> due;
  const auto note = [&](Clock::time_point time) { due = due ? std::min(*due, time) : time; };
  for (const Patience& waiting : patience_) note(waiting.due);
  for (const Sampling& sampling : sampling_) note(sampling.due);
  return due;
}

bool WatchJudge::work_on_due() {
  const auto now = Clock::now();
  for (auto waiting = patience_.begin(); waiting != patience_.end(); ++waiting) {
    if (waiting->due > now) continue;
    Patience ready = std::move(*waiting);
    patience_.erase(waiting);
    look_again(ready.evidence);
    conclude(ready.process, ready.evidence, diagnosis_of(ready.evidence, namer_));
    return true;
  }
  for (auto sampling = sampling_.begin(); sampling != sampling_.end(); ++sampling) {
    if (sampling->due > now) continue;
    if (sampling->spin ? sampling->spin->sample() : sampling->rounds->look()) {
      sampling->due = Clock::now() + (sampling->spin ? kSpinSamplePause : kRoundsPause);
      continue;
    }
    Sampling done = std::move(*sampling);
    sampling_.erase(sampling);
    auto finding = finding_of(done);
    if (finding && alive(done.process)) {
      store(done.process, *std::move(finding));
      reply(done.process, true, true, true);
    } else {
      reply(done.process, true, false, false);
    }
    return true;
  }
  return false;
}

void WatchJudge::answer(const Job& job) {
  switch (job.question) {
    case Question::kPrepare:
      return look_ahead(job);
    case Question::kDeadlock:
      return judge(job.process);
    case Question::kSpin:
      return judge_spin_of(job.process);
    case Question::kRounds:
      return judge_rounds_of(job.process);
    case Question::kWentOn:
      return take_back(job.process);
  }
}

/// Of a copy, a look whose answer nobody asked for. Of a program that may never fork, only what
/// every hang needs: the file that its threads wait in, which is libc.
void WatchJudge::look_ahead(const Job& job) {
  std::error_code error;
  const auto program =
      std::filesystem::read_symlink(fmt::format("/proc/{}/exe", job.process.pid), error);
  if (error || prepared_.size() >= kMostPrepared ||
      !prepared_.insert((job.forked ? "copy of " : "") + program.string()).second) {
    return;
  }
  const auto look = observe(job.process.pid, {.stacks = job.forked, .relatives = false}, namer_);
  if (!look) return;
  if (job.forked) {
    diagnosis_of(*look, namer_);
    return;
  }
  const auto blocked = std::find_if(
      look->process.threads.begin(), look->process.threads.end(),
      [](const ThreadEvidence& thread) { return thread.call && thread.call->pc != 0; });
  if (blocked != look->process.threads.end())
    namer_.code(blocked->call->pc, true, look->process.modules);
}

void WatchJudge::judge(const Process& process) {
  if (suspicion_of(process.pid) != Suspicion::kWaits) return reply(process, false, true, false);
  if (judged_like_another(process)) return;
  // First without stacks, which cost most: many wait for what another process will do.
  const auto glance = observe(process.pid, {false, false}, namer_);
  if (!glance || glance->process.start != process.start) return reply(process, false, true, false);
  const Answer answer = diagnosis_of(*glance, namer_).answer;
  const bool one_thread = glance->process.threads.size() == 1;
  // Which lock a word belongs to, the stack may tell where the bytes around do not.
  const bool unclear = answer == Answer::kUnknown && glance->process.forked.value_or(false);
  if (!tells_of_hang(answer) && answer != Answer::kStuck &&
      ((one_thread && !unclear) || !any_waits_for_ever(glance->process)))
    return reply(process, false, one_thread, false);
  auto evidence = observe(process.pid, {false, true}, namer_);
  if (!evidence || evidence->process.start != process.start)
    return reply(process, false, true, false);
  Diagnosis diagnosis = diagnosis_of(*evidence, namer_);
  // What is proven is told; what is not, a longer look may prove.
  if (patience_helps(diagnosis, *evidence)) {
    patience_.push_back({Clock::now() + std::chrono::milliseconds(kPatienceMilliseconds), process,
                         *std::move(evidence)});
    return;
  }
  conclude(process, *evidence, std::move(diagnosis));
}

bool WatchJudge::judged_like_another(const Process& process) {
  auto diagnosis = proven_.find(process);
  if (!diagnosis) return false;
  Finding finding = *std::move(diagnosis->finding);
  finding.outcome = "blocked";
  act(process, finding);
  store(process, std::move(finding));
  reply(process, false, true, true);
  return true;
}

void WatchJudge::conclude(const Process& process, const Evidence& evidence, Diagnosis diagnosis) {
  const bool one_thread = evidence.process.threads.size() == 1;
  if (!diagnosis.finding || !alive(process)) return reply(process, false, one_thread, false);
  const bool proven = diagnosis.answer == Answer::kDeadlock;
  if (proven) proven_.add(process, evidence, diagnosis);
  Finding finding = *std::move(diagnosis.finding);
  finding.outcome = "blocked";
  if (proven) act(process, finding);
  store(process, std::move(finding));
  reply(process, false, proven || one_thread, true);
}

void WatchJudge::judge_spin_of(const Process& process) {
  auto sampler = SpinSampler::start(process.pid, namer_);
  if (!sampler || sampler->process_start() != process.start)
    return reply(process, true, false, false);
  sampling_.push_back({Clock::now(), process, std::move(sampler), nullptr});
}

void WatchJudge::judge_rounds_of(const Process& process) {
  const auto evidence = observe(process.pid, {}, namer_);
  auto sampler = evidence && evidence->process.start == process.start && may_go_round(*evidence)
                     ? RoundsSampler::start(*evidence)
                     : nullptr;
  if (!sampler) return reply(process, true, false, false);
  sampling_.push_back({Clock::now(), process, nullptr, std::move(sampler)});
}

std::optional<Finding> WatchJudge::finding_of(const Sampling& sampling) {
  if (sampling.spin) return sampling.spin->finding();
  const auto evidence = sampling.rounds->evidence(namer_);
  if (!evidence) return std::nullopt;
  auto finding = diagnosis_of(*evidence, namer_).finding;
  if (finding) finding->outcome = "blocked";
  return finding;
}

/// It went on after all: a signal handler of its own woke it, a debugger, or a process that shares
/// its memory. One that is being ended goes on to its end, which takes nothing back.
void WatchJudge::take_back(const Process& process) {
  if (!alive(process)) return;
  {
    std::lock_guard lock(mutex_);
    const auto entry = findings_.find(process.pid);
    if (entry == findings_.end() || entry->second.first != process.start) return;
    Finding& finding = entry->second.second.finding;
    if (finding.outcome != "blocked") return;
    finding.outcome = "came back";
  }
  untold_ = true;
}

void WatchJudge::reply(const Process& process, bool spin, bool final, bool found) {
  std::lock_guard lock(mutex_);
  answers_.push_back({process, spin, final, found});
}

void WatchJudge::store(const Process& process, Finding finding) {
  {
    std::lock_guard lock(mutex_);
    const auto known = findings_.find(process.pid);
    if (known != findings_.end() && known->second.first == process.start) {
      const Finding& before = known->second.second.finding;
      // Said before: the same again, or less.
      if (before.outcome != "came back" &&
          (before.severity == finding.severity || before.severity == "deadlock"))
        return;
    }
    finding.records = {kWatchedRecord | count_++};
    findings_[process.pid] = {process.start, {std::move(finding), monotonic_now()}};
  }
  untold_ = true;
}

bool WatchJudge::library_has_finding(pid_t pid) const {
  const Session session = parse_session(arena_.snapshot());
  const auto ends = finding_outcomes(session);
  return std::any_of(
      session.findings.begin(), session.findings.end(),
      [&](const FindingRecord& record) { return record.meta.pid == pid && is_hang(record, ends); });
}

/// --on-deadlock. What the library found, it acts on itself. From outside a process can be ended
/// but not be made to exit with a status of our choice, and no lock can be taken from another
/// thread.
void WatchJudge::act(const Process& process, Finding& finding) const {
  int signal = 0;
  switch (settings_.on_deadlock) {
    case OnDeadlock::kReport:
    case OnDeadlock::kBreak:
      return;
    case OnDeadlock::kKill:
    case OnDeadlock::kExit:
      signal = SIGKILL;
      break;
    case OnDeadlock::kAbort:
      signal = SIGABRT;
      break;
  }
  if (library_has_finding(process.pid)) return;
  if (suspicion_of(process.pid) != Suspicion::kWaits) return;  // it was woken meanwhile
  send_signal(process, signal);
  finding.outcome = signal == SIGABRT ? "aborted" : "killed";
}

}  // namespace forkscope::cli
