// Puts the report together: forks with their outcomes, findings, summary.
#include <algorithm>
#include <set>
#include <span>

#include "detector/verdict/descriptors.hpp"
#include "detector/verdict/findings.hpp"
#include "detector/verdict/handlers.hpp"
#include "detector/verdict/learned.hpp"
#include "detector/verdict/outcomes.hpp"
#include "detector/verdict/probes.hpp"
#include "detector/verdict/report.hpp"
#include "detector/verdict/suppressions.hpp"
#include "detector/verdict/watched.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

ForkReport fork_report(const ForkRecord& record, const ChildOutcome& outcome,
                       const AddressSpace& space, const Context& context, bool with_stack) {
  const record::Fork& fork = record.fork;
  const std::span stack(fork.stack, fork.frames);
  ForkReport report;
  report.id = fork.id;
  report.api = api_word(fork.api);
  report.pid = fork.parent;
  report.tid = fork.parent_tid;
  report.child = outcome.child;
  report.time = record.meta.time;
  report.caller = space.caller(stack);
  if (with_stack) report.stack = space.stack(stack);
  for (const record::ThreadInfo& thread : record.threads) {
    report.threads.push_back(thread_report(thread, space));
  }
  report.threads_total = fork.threads_total;
  for (const record::HeldLock& held : record.held) {
    HeldReport entry;
    entry.lock = held_lock(held, space);
    name_lock(entry.lock, context, record.meta);
    entry.evidence = evidence_word(held);
    // The tracker writes this in the child, where the forking thread has its new id already.
    entry.owner = held.self ? fork.parent_tid : held.owner;
    entry.self = held.self != 0;
    entry.acquired = space.call_site(held.caller);
    report.held.push_back(std::move(entry));
  }
  report.dropped_locks = fork.dropped_locks;
  report.outcome = child_end_word(outcome.end);
  report.status = outcome.status;
  if (const auto reason = context.declared_safe.find(fork.id); reason != context.declared_safe.end())
    report.declared_safe = reason->second;
  return report;
}

/// Deadlocked processes whose own Fork record was dropped: they are among the forks counted.
std::uint64_t deadlocks_without_fork(const Session& session, const RunFacts& facts,
                                     const std::vector<ChildOutcome>& outcomes) {
  std::set<std::int32_t> known;
  for (const ChildOutcome& outcome : outcomes) known.insert(outcome.child);
  const auto ends = finding_outcomes(session);
  std::set<std::int32_t> lost;
  for (const FindingRecord& record : session.findings) {
    // A process that hangs in a handler of its own fork need be nobody's child.
    if (record.finding.kind == record::Kind::kAtforkHandler) continue;
    if (is_hang(record, ends) && !known.count(record.meta.pid)) lost.insert(record.meta.pid);
  }
  for (const WatchedFinding& watched : facts.watched) {
    const std::int32_t pid = watched.finding.process;
    if (proves_hang(watched) && !known.count(pid)) lost.insert(pid);
  }
  return lost.size();
}

Summary summarise(const Session& session, const RunFacts& facts,
                  const std::vector<ChildOutcome>& outcomes,
                  const std::vector<Finding>& findings) {
  Summary summary;
  for (const ChildOutcome& outcome : outcomes) {
    switch (outcome.end) {
      case ChildEnd::kUnknown:
        ++summary.unknown;
        break;
      case ChildEnd::kExec:
        ++summary.execed;
        break;
      case ChildEnd::kExit:
        ++summary.finished;
        break;
      case ChildEnd::kSignal:
        ++summary.signalled;
        break;
      case ChildEnd::kRunning:
        ++summary.running;
        break;
      case ChildEnd::kDeadlock:
        ++summary.deadlocked;
        break;
    }
  }
  const std::uint64_t extra = deadlocks_without_fork(session, facts, outcomes);
  summary.deadlocked += extra;
  // The counters also know forks whose records were dropped or never written for being harmless.
  summary.forks = std::max<std::uint64_t>(session.counters.forks, outcomes.size() + extra);
  summary.unrecorded = summary.forks - outcomes.size() - extra;
  summary.failed =
      std::max<std::uint64_t>(session.counters.fork_failures, session.fork_failures.size());
  for (const Finding& finding : findings) {
    summary.hazards += finding.severity == "hazard";
    summary.notes += finding.severity == "note";
    summary.declared_safe += finding.severity == "note" && !finding.declared_safe.empty();
    summary.died += finding.died ? finding.count : 0;
  }
  for (const ForkRecord& fork : session.forks) {
    ++summary.apis[api_word(fork.fork.api)];
    summary.safe += record::memory_of(fork.fork.api) == record::ChildMemory::kFresh;
  }
  summary.dropped_records = session.counters.dropped_records;
  summary.dropped_locks = session.counters.dropped_locks;
  summary.dropped_threads = session.counters.dropped_threads;
  summary.full_histories = session.counters.full_histories;
  summary.cramped = session.counters.cramped;
  summary.dropped_handlers = static_cast<std::uint64_t>(
      std::count_if(session.atforks.begin(), session.atforks.end(),
                    [](const AtforkRecord& record) { return record.atfork.unwatched != 0; }));
  summary.abandoned_locks = session.counters.abandoned_locks;
  summary.injected = session.counters.injected;
  return summary;
}

}  // namespace

Report judge(const Session& session, const RunFacts& facts, const Unwinder& unwind, Namer& namer,
             const std::vector<SuppressionRule>& rules) {
  AddressSpaces spaces(session, namer);
  std::vector<ChildOutcome> outcomes = child_outcomes(session, facts);
  Context context{session, spaces, {}, finding_outcomes(session), outcomes, {}, {}, {}};
  for (const UnsafeSiteCount& site : session.unsafe_sites) {
    context.children_of_site.emplace(site.finding, site.children);
  }
  for (const ForkDeclaredRecord& declared : session.declared_forks)
    context.declared_safe.emplace(declared.fork, declared.reason);
  for (const LockNameRecord& name : session.lock_names)
    context.lock_names[{name.meta.pid, name.address}].push_back(&name);
  for (std::size_t i = 0; i < session.forks.size(); ++i) {
    context.fork_by_id.emplace(session.forks[i].fork.id, &session.forks[i]);
    context.forks_of_child[outcomes[i].child].push_back(i);
  }
  for (const ForkRecord& fork : session.probe_forks)
    context.fork_by_id.emplace(fork.fork.id, &fork);
  mark_hung_children(outcomes, context, facts);

  Report report;
  report.command = facts.command;
  report.exit = facts.exit;
  report.signal = facts.signal;
  report.timed_out = facts.timed_out;

  std::vector<Candidate> candidates = recorded_findings(context, unwind);
  join_watched_findings(candidates, context, facts);
  for (Candidate& latent : latent_statics(context, unwind)) {
    candidates.push_back(std::move(latent));
  }
  for (Candidate& orphan : untouched_orphans(context, outcomes)) {
    candidates.push_back(std::move(orphan));
  }
  for (Candidate& bypass : fork_bypasses(context, outcomes)) {
    candidates.push_back(std::move(bypass));
  }
  for (Candidate& shared : shared_descriptors(context, outcomes)) {
    candidates.push_back(std::move(shared));
  }
  for (Candidate& handler : handler_findings(context, outcomes)) {
    candidates.push_back(std::move(handler));
  }
  add_probed(candidates, context, unwind);
  mark_declared_safe(candidates, context);
  report.suppressions = unused(rules);
  const auto suppressed =
      std::stable_partition(candidates.begin(), candidates.end(), [&](const Candidate& candidate) {
        return !is_suppressed(candidate.finding, rules, report.suppressions);
      });
  report.suppressed = merged({suppressed, candidates.end()});
  candidates.erase(suppressed, candidates.end());
  report.findings = merged(std::move(candidates));
  report.learned = learned_locks(context, unwind);

  std::set<std::uint64_t> with_findings;
  for (const Finding& finding : report.findings) with_findings.insert(finding.fork);
  const HandlerBook book(session);
  for (std::size_t i = 0; i < session.forks.size(); ++i) {
    const ForkRecord& fork = session.forks[i];
    report.forks.push_back(fork_report(fork, outcomes[i],
                                       spaces.of(fork.fork.parent, fork.meta.image), context,
                                       with_findings.count(fork.fork.id) > 0));
    report.forks.back().handlers =
        book.reports(fork.fork.id, spaces.of(fork.fork.parent, fork.meta.image));
  }
  report_injections(report, context, facts);
  report.not_observed = unobserved_programs(session);
  report.summary = summarise(session, facts, outcomes, report.findings);
  report.summary.suppressed = report.suppressed.size();
  return report;
}

}  // namespace forkscope
