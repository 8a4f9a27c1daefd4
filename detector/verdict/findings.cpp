#include "detector/verdict/findings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <span>
#include <tuple>

#include "detector/verdict/cures.hpp"
#include "detector/verdict/explain.hpp"
#include "detector/verdict/handlers.hpp"
#include "detector/verdict/libc_calls.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/known_waits.hpp"
#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

int rank(const std::string& severity) {
  if (severity == "deadlock") return 0;
  if (severity == "latent") return 1;
  return severity == "hazard" ? 2 : 3;
}

/// Where the lock was taken: the kept registers give the whole stack; the return address that was
/// kept beside them is certain, so it is not lost when unwinding finds something else.
void fill_acquisition(Finding::Holder& holder, const FindingRecord& record,
                      const AddressSpace& space, const Unwinder& unwind) {
  const record::Finding& f = record.finding;
  if (f.holder_has_registers && unwind) {
    const UnwoundStack stack = unwind(f.acquired, record.memory, space.modules());
    const bool has_caller =
        f.holder_caller == 0 || std::find(stack.addresses.begin(), stack.addresses.end(),
                                          f.holder_caller) != stack.addresses.end();
    holder.acquired = space.stack(stack);
    holder.acquired_complete = stack.complete && !holder.acquired.empty();
    if (has_caller && !holder.acquired.empty()) return;
  }
  if (f.holder_caller == 0) return;
  std::vector<Frame> frames = space.stack(std::span(&f.holder_caller, 1));
  holder.acquired.insert(holder.acquired.begin(), frames.begin(), frames.end());
}

/// All threads of std::thread start in the same routine of the C++ library, which tells nobody
/// which thread it is: the outermost function of the program's own does.
void prefer_start_in_program(Finding::Holder& holder) {
  if (!holder.acquired_complete || !holder.start || !is_runtime(*holder.start)) return;
  const auto found = std::find_if(
      holder.acquired.rbegin(), holder.acquired.rend(),
      [](const Frame& frame) { return !frame.function.empty() && !is_runtime(frame); });
  if (found != holder.acquired.rend()) holder.start = *found;
}

/// The forking thread's table goes on in the child: where the acquisition from before the fork is
/// no longer in it, what is found there is the very call the finding is about.
bool is_present_call(const record::Finding& f, const AddressSpace& space) {
  if (f.kind != record::Kind::kSelfHeldLock && f.kind != record::Kind::kStaleOwner) return false;
  const std::span stack(f.waiter, f.waiter_frames);
  const auto caller = std::find_if(stack.begin(), stack.end(), [&](std::uint64_t address) {
    return !space.is_preload_library(address);
  });
  return caller != stack.end() && *caller == f.holder_caller;
}

void fill_holder(Finding& finding, const FindingRecord& record, const AddressSpace& space,
                 const Unwinder& unwind) {
  const record::Finding& f = record.finding;
  finding.holder.tid = f.holder_tid;
  finding.holder.name = thread_name(f.holder_name);
  finding.holder.start = space.function(f.holder_start);
  finding.holder.creator = space.stack(std::span(f.holder_creator, f.holder_creator_frames));
  finding.holder.exited = f.holder_exited != 0;
  finding.holder.uses = f.holder_uses;
  if (f.severity == record::Severity::kLatent && f.held_share != record::kUnknownShare)
    finding.holder.held_share = f.held_share / 1e6;
  if (!is_present_call(f, space)) fill_acquisition(finding.holder, record, space, unwind);
  prefer_start_in_program(finding.holder);
}

LockInfo bare_lock_of(const FindingRecord& record, const AddressSpace& space) {
  const record::Finding& f = record.finding;
  if (libc_call_of(f)) return LockInfo{};
  switch (f.kind) {
    case record::Kind::kSharedDescriptor: {
      LockInfo lock = AddressSpace::nameless(0, lock_type_words(f.lock_type, 0));
      lock.descriptor = static_cast<int>(f.lock);
      lock.file = record.text;
      return lock;
    }
    case record::Kind::kMissingMemory: {
      LockInfo lock = AddressSpace::nameless(f.lock, lock_type_words(f.lock_type, 0));
      lock.file = record.text;
      return lock;
    }
    case record::Kind::kUnsafeCall:
      return f.lock == 0 ? LockInfo{} : space.lock(f.lock, lock_type_words(f.lock_type, 0));
    default:
      break;
  }
  if (f.lock_type == record::LockType::kThread) {
    return AddressSpace::nameless(f.lock, lock_type_words(f.lock_type, 0));
  }
  // Tells a condition variable from a mutex where the writer could not say what it is.
  const bool condition = f.lock_type == record::LockType::kUnknown && is_condition_wait(f.call) &&
                         f.kind == record::Kind::kLostThread;
  return space.lock(f.lock, lock_type_words(condition ? record::LockType::kCondition : f.lock_type,
                                            f.lock_flags));
}

LockInfo lock_of(const FindingRecord& record, const AddressSpace& space) {
  LockInfo lock = bare_lock_of(record, space);
  const record::Finding& f = record.finding;
  lock.mode =
      f.evidence == record::Evidence::kInTransit ? "" : mode_word(f.lock_type, f.lock_flags);
  lock.shared = (f.lock_flags & record::kLockShared) != 0;
  return lock;
}

/// What became of the process a finding is about: of the latest child with its pid.
const ChildOutcome* child_of(const FindingRecord& record, const Context& context) {
  const auto forks = context.forks_of_child.find(record.meta.pid);
  if (forks == context.forks_of_child.end()) return nullptr;
  const ChildOutcome* child = nullptr;
  for (std::size_t index : forks->second) {
    if (context.session.forks[index].meta.time <= record.meta.time) {
      child = &context.children[index];
    }
  }
  return child;
}

/// A call that came back was no deadlock; one that the process died in was worse than a hazard.
record::Severity severity_of(const record::Finding& f,
                             const std::optional<record::Outcome>& outcome,
                             const std::optional<Death>& death) {
  using record::Severity;
  if (outcome == record::Outcome::kAcquired && f.severity == Severity::kDeadlock) {
    return Severity::kHazard;
  }
  // What probably was the cause stays a hazard.
  const bool certain = f.evidence != record::Evidence::kPointsThere;
  return death && certain ? Severity::kDeadlock : f.severity;
}

std::string outcome_words(const record::Finding& f, const std::optional<record::Outcome>& outcome,
                          const std::optional<Death>& death) {
  if (death) return "died: " + death->short_words;
  if (!outcome) return "";
  const bool is_lock_or_wait = f.evidence != record::Evidence::kThreadGone &&
                               f.evidence != record::Evidence::kLoaderState &&
                               f.evidence != record::Evidence::kInsideCall;
  if (*outcome == record::Outcome::kAcquired && !is_lock_or_wait) return "came back";
  return outcome_word(*outcome);
}

CureFacts cure_facts(const record::Finding& f, const Finding& finding, const AddressSpace& space) {
  CureFacts facts = cure_facts_of(finding, space.executable(), f.kind);
  facts.lock_type = f.lock_type;
  facts.evidence = f.evidence;
  facts.compares_owner = compares_owner(f);
  facts.advice = f.kind == record::Kind::kMissingMemory ? advice_word(f.lock_words[0]) : "";
  if (const auto call = libc_call_of(f)) facts.libc_cure = libc_call_cure(*call);
  return facts;
}

/// What a library has built on the semaphore, condition variable or word that is waited for.
KnownWait known_wait_of(const record::Finding& f, const Finding& finding) {
  if (!may_be_built_on(f.lock_type) || f.evidence == record::Evidence::kInheritedWaiters) return {};
  const bool raw = f.call == record::Call::kFutexWait || f.call == record::Call::kFutexTimedwait;
  return known_wait(finding.waiter.stack, finding.waiter.python, raw);
}

/// A sem_trywait is no wait, but in CPython: a threading.Lock is tried first, and waited for only if
/// that fails (Modules/_threadmodule.c, acquire_timed). Its own locks the interpreter takes with
/// sem_wait at once, and nearly always with the GIL, which then the forking thread has: nobody else
/// has such a lock at a fork.
bool is_no_risk(const record::Finding& f, const Finding& finding) {
  if (f.severity != record::Severity::kLatent) return false;
  const auto& stack = finding.waiter.stack;
  const bool python = !stack.empty() && is_python_module(stack.front().module);
  return python ? f.lock_type == record::LockType::kSemaphore && !is_try(f.call) : is_try(f.call);
}

Candidate candidate_of(const FindingRecord& record, const Context& context,
                       const Unwinder& unwind) {
  const record::Finding& f = record.finding;
  const AddressSpace& space = context.spaces.of(record.meta.pid, record.meta.image);
  const auto fork_entry = context.fork_by_id.find(f.fork);
  const ForkRecord* fork = fork_entry == context.fork_by_id.end() ? nullptr : fork_entry->second;
  std::optional<record::Outcome> outcome;
  if (const auto end = context.outcomes.find(f.id); end != context.outcomes.end()) {
    outcome = end->second;
  }

  Candidate candidate;
  candidate.time = record.meta.time;
  Finding& finding = candidate.finding;
  finding.kind = kind_word(reported_kind(f));
  const std::optional<Death> death = death_of(f, outcome, child_of(record, context));
  const record::Severity severity = severity_of(f, outcome, death);
  finding.severity = severity_word(severity);
  finding.evidence = evidence_word(f.evidence);
  finding.died = death.has_value();
  finding.process = record.meta.pid;
  finding.program = base_name(space.executable());
  finding.fork = f.fork;
  finding.lock = lock_of(record, space);
  name_lock(finding.lock, context, record.meta);
  fill_holder(finding, record, space, unwind);
  finding.waiter.tid = record.meta.tid;
  finding.waiter.call = call_word(f.call);
  const std::optional<Definer> definer = definer_of(record, context, space);
  if (libc_call_of(f)) {
    finding.libc = libc_call_report(f, definer ? &*definer : nullptr);
    finding.waiter.call = finding.libc->function;
  }
  finding.waiter.stack = space.stack(std::span(f.waiter, f.waiter_frames));
  const KnownWait known = known_wait_of(f, finding);
  if (!known.type.empty()) finding.lock.type = known.type;
  if (fork != nullptr) {
    finding.fork_stack = context.spaces.of(fork->fork.parent, fork->meta.image)
                             .stack(std::span(fork->fork.stack, fork->fork.frames));
  }
  for (const record::ThreadInfo& thread : record.threads) {
    if (!thread.is_forker) finding.lost.push_back(thread_report(thread, space));
  }
  if (f.kind == record::Kind::kMissingMemory) {
    finding.range = Finding::Range{f.range_begin, f.range_end};
    finding.advice = advice_word(f.lock_words[0]);
  }
  std::optional<Finding::Handler> repairer;
  if (f.evidence == record::Evidence::kTookBefore && fork != nullptr)
    repairer = silent_child_handler(finding.lock, finding.waiter.stack, *fork, context, space);
  if (repairer) finding.severity = severity_word(record::Severity::kHazard);
  const FindingFacts facts{record, fork, outcome, space, finding.lock,
                           severity, death, definer ? &*definer : nullptr};
  if (f.in_handler) finding.handler = handler_of(f, context, space);
  finding.verdict = verdict_of(facts);
  finding.explanation = explanation_of(facts);
  if (repairer) finding.explanation += " " + perhaps_repaired_words(*repairer);
  if (finding.handler) finding.explanation += " " + inside_handler_words(*finding.handler);
  CureFacts cure = cure_facts(f, finding, space);
  if (severity != record::Severity::kLatent && reported_kind(f) == f.kind)
    cure.kind = kind_of_known(f.kind, known);
  if (cure.kind != f.kind) finding.kind = kind_word(cure.kind);
  finding.cure = cure_for(cure);
  finding.outcome = outcome_words(f, outcome, death);
  finding.records = {f.id};
  finding.count = std::max<std::uint64_t>(record.times, 1);

  if (const auto site = context.children_of_site.find(f.id);
      site != context.children_of_site.end()) {
    finding.count = site->second;
  }
  if (finding.libc) candidate.aspect = finding.libc->function;
  return candidate;
}

}  // namespace

LockInfo held_lock(const record::HeldLock& held, const AddressSpace& space) {
  LockInfo lock = space.lock(held.address, lock_type_words(held.type, held.flags));
  lock.mode = mode_word(held.type, held.flags);
  lock.shared = (held.flags & record::kLockShared) != 0;
  return lock;
}

ThreadReport thread_report(const record::ThreadInfo& info, const AddressSpace& space) {
  ThreadReport thread;
  thread.tid = info.tid;
  thread.name = thread_name(info.name);
  thread.start = space.function(info.start);
  thread.state = thread_state_word(info.state);
  thread.wait_object = info.wait_object;
  thread.held = info.held;
  thread.forker = info.is_forker != 0;
  return thread;
}

Candidate finding_of(const FindingRecord& record, const Context& context, const Unwinder& unwind) {
  return candidate_of(record, context, unwind);
}

namespace {

/// A thread that hangs makes no new calls: what it recorded since, libc or the C++ library did for
/// the call it is in, as the futex word of a guard, and it is no matter of its own.
void leave_out_parts_of_hangs(std::vector<Candidate>& candidates) {
  std::map<std::tuple<std::int32_t, std::uint64_t, std::int32_t>, std::uint64_t> hangs_since;
  const auto thread_of = [](const Finding& finding) {
    return std::tuple(finding.process, finding.fork, finding.waiter.tid);
  };
  for (const Candidate& candidate : candidates) {
    const Finding& finding = candidate.finding;
    if (finding.severity == "deadlock" && !finding.died &&
        finding.outcome != outcome_word(record::Outcome::kBroken))
      hangs_since.emplace(thread_of(finding), candidate.time);  // in the order of time
  }
  std::erase_if(candidates, [&](const Candidate& candidate) {
    const auto hang = hangs_since.find(thread_of(candidate.finding));
    return candidate.finding.severity != "deadlock" && hang != hangs_since.end() &&
           candidate.time > hang->second;
  });
}

}  // namespace

std::vector<Candidate> recorded_findings(const Context& context, const Unwinder& unwind) {
  std::vector<Candidate> candidates;
  for (const FindingRecord& record : context.session.findings) {
    Candidate candidate = candidate_of(record, context, unwind);
    if (!is_no_risk(record.finding, candidate.finding)) candidates.push_back(std::move(candidate));
  }
  leave_out_parts_of_hangs(candidates);
  return candidates;
}

std::vector<Finding> merged(std::vector<Candidate> candidates) {
  std::stable_sort(candidates.begin(), candidates.end(),
                   [](const Candidate& a, const Candidate& b) {
                     return std::tuple(rank(a.finding.severity), a.time) <
                            std::tuple(rank(b.finding.severity), b.time);
                   });
  std::vector<Finding> findings;
  std::map<std::string, std::size_t> known;
  for (Candidate& candidate : candidates) {
    Finding& finding = candidate.finding;
    finding.fingerprint = fingerprint_of(finding, candidate.aspect);
    // Two that hang and have no place in the program may be two mistakes: each is shown.
    const bool hangs = finding.severity == "deadlock" || finding.severity == "latent" ||
                       finding.certainty == "probable";
    const bool alone = finding.fingerprint == kUnidentified && hangs;
    // One deadlock and one child that came back are not two deadlocks, whatever the place.
    const std::string key = fmt::format(
        "{}|{}|{}|{}|{}|{}", finding.kind,
        alone ? std::to_string(findings.size()) : finding_key(finding, candidate.aspect),
        finding.severity, finding.certainty, finding.died, finding.declared_safe);
    const auto [entry, is_new] = known.emplace(key, findings.size());
    if (is_new) {
      findings.push_back(std::move(finding));
      continue;
    }
    Finding& first = findings[entry->second];
    first.count += finding.count;
    first.records.insert(first.records.end(), finding.records.begin(), finding.records.end());
    if (first.outcome.empty()) first.outcome = finding.outcome;
  }
  return findings;
}

void mark_declared_safe(std::vector<Candidate>& candidates, const Context& context) {
  for (Candidate& candidate : candidates) {
    Finding& finding = candidate.finding;
    const auto reason = context.declared_safe.find(finding.fork);
    if (reason == context.declared_safe.end()) continue;
    finding.declared_safe = reason->second;
    const bool warning = finding.severity == "hazard" || finding.severity == "latent";
    if (warning && finding.certainty == "proven") finding.severity = "note";
  }
}

void name_lock(LockInfo& lock, const Context& context, const RecordMeta& meta) {
  const auto names = context.lock_names.find({meta.pid, lock.address});
  if (names == context.lock_names.end()) return;
  for (const LockNameRecord* name : names->second)  // the last one: memory is used again
    if (name->meta.offset < meta.offset) lock.name = name->name;
}

}  // namespace forkscope
