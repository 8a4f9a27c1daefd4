// What probes found (fork:probe): a child that the library forked by itself would have waited for
// ever. Nothing of the program did hang, so these are latent; but here a child was made, and found
// the lock taken.
#include "detector/verdict/probes.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <string_view>

#include "detector/record/unsafe_calls.hpp"
#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

const ForkRecord* fork_of(const FindingRecord& record, const Session& session) {
  const auto found =
      std::find_if(session.probe_forks.begin(), session.probe_forks.end(),
                   [&](const ForkRecord& fork) { return fork.fork.id == record.finding.fork; });
  return found == session.probe_forks.end() ? nullptr : &*found;
}

/// "mutex L, held by thread 7 (a)"; of a wait for something else only what is waited for.
std::string object_words(const Finding& finding) {
  const std::string lock = lock_words(finding.lock);
  if (finding.kind != "orphaned-lock" || finding.holder.tid == 0) return lock;
  return fmt::format("{}, held by {}", lock, thread_words(finding.holder.tid, finding.holder.name));
}

std::string explanation_of(const Finding& finding, const FindingRecord& record,
                           const ForkRecord* fork) {
  const InjectProbed probed = record.finding.probed;
  const std::string forked =
      fork != nullptr ? fmt::format(
                            "thread {} was about to take another lock, and --inject "
                            "fork:probe forked there, unnoticed by the program",
                            fork->fork.parent_tid)
                      : std::string("--inject fork:probe forked, unnoticed by the program");
  std::string why = capitalised(forked) + ". ";
  if (finding.kind == "orphaned-lock")
    why += fmt::format(
        "In that moment {} had the lock. A forked child has only the thread that forked, no "
        "at-fork "
        "handler had taken the lock before the copy or made it good in the child, and so it is "
        "locked there for ever. ",
        thread_words(finding.holder.tid, finding.holder.name));
  else
    why +=
        "What its child waited for, only a thread that was not copied could have brought about. ";
  switch (probed) {
    case InjectProbed::kLock:
      why += fmt::format(
          "The program's own children take it between fork and exec, as one did in "
          "this run, by {}: at that moment such a child would have waited for ever.",
          call_words(finding.waiter.call));
      break;
    case InjectProbed::kHandlers:
      why += "A handler of the program's own, which runs in every forked child, waits for it.";
      break;
    default:
      why +=
          fmt::format("The probe called {}, which waits for it, as would any child that does so.",
                      call_words(facts_of(probed).word));
      break;
  }
  return why;
}

Candidate candidate_of(const FindingRecord& record, const Context& context,
                       const Unwinder& unwind) {
  FindingRecord latent = record;
  latent.finding.severity = record::Severity::kLatent;
  Candidate candidate = finding_of(latent, context, unwind);
  Finding& finding = candidate.finding;
  const ForkRecord* fork = fork_of(record, context.session);
  finding.severity = "latent";
  finding.certainty = "proven";
  finding.outcome = "probe";
  if (fork != nullptr) {
    finding.process = fork->fork.parent;
    finding.waiter.tid = fork->fork.parent_tid;
  }
  finding.verdict = fmt::format(
      "would have had a child that waits for ever for {}: a probe found it", object_words(finding));
  finding.explanation = explanation_of(finding, record, fork);
  finding.count = std::max<std::uint64_t>(record.times, 1);
  return candidate;
}

std::uint32_t unsafe_call_of(InjectProbed probed) {
  for (std::uint32_t i = 1; i < record::kUnsafeCallCount; ++i)
    if (std::string_view(record::kUnsafeCalls[i].name) == facts_of(probed).word) return i;
  return 0;
}

/// Inside libc nothing can be judged: the child was seen to sleep there for ever, and which thread
/// was inside a function of the same lock.
bool hung_in_libc(const record::Injected& injected) {
  return injected.action == InjectAction::kForkProbe &&
         injected.result == InjectResult::kWouldHang && injected.lock == 0 &&
         injected.function != 0 && unsafe_call_of(injected.probed) != 0;
}

Candidate libc_candidate_of(const InjectedRecord& injected, const Context& context,
                            const Unwinder& unwind) {
  const record::Injected& seen = injected.injected;
  FindingRecord record;
  record.meta = injected.meta;
  record.finding.kind = record::Kind::kLibcLock;
  record.finding.severity = record::Severity::kLatent;
  record.finding.evidence = record::Evidence::kInsideCall;
  record.finding.call = record::Call::kLibcCall;
  record.finding.lock_words[0] = unsafe_call_of(seen.probed);
  record.finding.lock_words[1] = seen.function;
  record.finding.holder_tid = seen.holder;
  record.finding.holder_caller = seen.caller;
  Candidate candidate = finding_of(record, context, unwind);
  Finding& finding = candidate.finding;
  finding.severity = "latent";
  finding.outcome = "probe";
  finding.count = injected.times;
  finding.waiter.tid = 0;
  finding.fork_stack = context.spaces.of(injected.meta)
                           .stack(std::span(seen.stack, seen.frames));
  const std::string call = call_words(facts_of(seen.probed).word);
  const std::string inside = call_words(record::kUnsafeCalls[seen.function].name);
  const std::string holder = thread_words(seen.holder, "");
  finding.verdict = fmt::format(
      "would have had a child that waits for ever in {}, while {} is in "
      "{}: a probe found it",
      call, holder, inside);
  finding.explanation = fmt::format(
      "Thread {} was about to take a lock, and --inject fork:probe forked there, unnoticed by the "
      "program. The child called {} and was seen to sleep in it without a time limit, alone in its "
      "process. {} was inside {} at that moment; libc's lock, which such functions take and fork "
      "does not reset, is locked for ever in the child.",
      injected.meta.tid, call, capitalised(holder), inside);
  return candidate;
}

}  // namespace

void add_probed(std::vector<Candidate>& candidates, const Context& context,
                const Unwinder& unwind) {
  for (const InjectedRecord& injected : context.session.injected)
    if (hung_in_libc(injected.injected))
      candidates.push_back(libc_candidate_of(injected, context, unwind));
  for (const FindingRecord& record : context.session.probe_findings) {
    Candidate probed = candidate_of(record, context, unwind);
    // That it might come to this was concluded before; now it was seen.
    std::erase_if(candidates, [&](const Candidate& known) {
      const Finding& finding = known.finding;
      return finding.evidence == "took-before" && finding.lock.address != 0 &&
             finding.lock.address == probed.finding.lock.address &&
             finding.program == probed.finding.program;
    });
    candidates.push_back(std::move(probed));
  }
}

}  // namespace forkscope
