#include "detector/verdict/watched.hpp"

#include <algorithm>
#include <span>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/handlers.hpp"
#include "detector/verdict/libc_calls.hpp"
#include "detector/verdict/looks.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kNoFork = static_cast<std::size_t>(-1);

/// Index of the fork that created the process: the latest of that pid before it was looked at.
std::size_t fork_of(const WatchedFinding& watched, const Context& context) {
  const auto forks = context.forks_of_child.find(watched.finding.process);
  if (forks == context.forks_of_child.end()) return kNoFork;
  std::size_t found = kNoFork;
  for (std::size_t index : forks->second) {
    // The parent writes the record, and may do so late; with one fork of that pid it is that one.
    if (context.session.forks[index].meta.time <= watched.time || forks->second.size() == 1)
      found = index;
  }
  return found;
}

bool is_same_process(const Finding& recorded, const Finding& watched) {
  return recorded.process == watched.process &&
         (recorded.fork == watched.fork || recorded.fork == 0 || watched.fork == 0);
}

/// Whether the library found that very hang. What it let through, or what came back, it did not:
/// the process went on, and hangs now for another reason.
bool is_hang_found_by_library(const Finding& recorded) {
  return recorded.severity == "deadlock" && !recorded.died && recorded.outcome != "let through";
}

/// The thread went into a call of libc whose lock a vanished thread may have had, has not come out
/// of it, and waits for a lock of libc.
bool is_open_call_of(const Finding& recorded, const Finding& watched) {
  return recorded.libc && recorded.severity == "hazard" && recorded.outcome.empty() &&
         watched.kind == recorded.kind && watched.waiter.tid == recorded.waiter.tid;
}

/// Whether the call of a record has not returned, as far as is known.
bool may_be_open(const Finding& recorded) {
  return recorded.severity == "hazard" && recorded.outcome != "acquired later" &&
         recorded.outcome != "came back" && recorded.outcome != "let through";
}

/// A warning of what then happened.
bool is_warning_of(const Finding& recorded, const Finding& watched) {
  if (is_open_call_of(recorded, watched)) return true;
  return may_be_open(recorded) && recorded.lock.address != 0 &&
         recorded.lock.address == watched.lock.address;
}

/// The very wait: the same thread, at the same object or in the call that the library recorded, whose
/// return address is still on the stack.
bool is_wait_of(const Finding& recorded, const Finding& watched) {
  using record::Kind;
  const bool waits = recorded.kind == kind_word(Kind::kOrphanedLock) ||
                     recorded.kind == kind_word(Kind::kLostThread) ||
                     recorded.kind == kind_word(Kind::kSelfHeldLock) ||
                     recorded.kind == kind_word(Kind::kStaleOwner);
  if (!waits || !may_be_open(recorded) || recorded.waiter.tid != watched.waiter.tid) return false;
  if (recorded.lock.address != 0 && recorded.lock.address == watched.lock.address) return true;
  if (recorded.waiter.stack.empty()) return false;
  const std::uint64_t call = recorded.waiter.stack.front().address;
  return std::any_of(watched.waiter.stack.begin(), watched.waiter.stack.end(),
                     [&](const Frame& frame) { return frame.address == call; });
}

/// What was seen from outside of a thread that the library reports.
void add_view(Finding& recorded, const Finding& watched) {
  if (recorded.waiter.tid == watched.waiter.tid) {
    if (!watched.waiter.python.empty()) recorded.waiter.python = watched.waiter.python;
    if (recorded.waiter.stack.empty()) recorded.waiter.stack = watched.waiter.stack;
    if (recorded.fork_python.empty()) recorded.fork_python = watched.fork_python;
    correct_kind(recorded);
  }
  // Of an event nobody owns there is no holder outside; of a lock it must be the same thread.
  if (recorded.holder.tid == watched.holder.tid) {
    if (!watched.holder.now.empty()) recorded.holder.now = watched.holder.now;
    if (!watched.holder.python.empty()) recorded.holder.python = watched.holder.python;
    if (recorded.holder.name.empty()) recorded.holder.name = watched.holder.name;
  }
}

/// The library knows who took a lock that does not say so itself: from outside the same wait looks as
/// one for any lost thread.
void add_evidence(Finding& watched, const Finding& recorded) {
  if (watched.kind != kind_word(record::Kind::kLostThread) ||
      recorded.kind != kind_word(record::Kind::kOrphanedLock) || recorded.holder.tid == 0) {
    return;
  }
  watched.kind = recorded.kind;
  watched.evidence = recorded.evidence;
  watched.lock.type = recorded.lock.type;
  watched.cure = recorded.cure;
}

/// What the library knew of the holder: where it took the lock, and who created it.
void add_holder(Finding::Holder& holder, const Finding::Holder& known) {
  if (holder.tid == 0) holder.tid = known.tid;
  if (holder.tid != known.tid) return;
  if (holder.name.empty()) holder.name = known.name;
  if (!holder.start) holder.start = known.start;
  holder.acquired = known.acquired;
  holder.acquired_complete = known.acquired_complete;
  holder.creator = known.creator;
  holder.exited = known.exited;
}

/// What the library knew of the wait, which it could not judge: what the lock is there for, and who
/// had to do with it.
void add_wait(Finding& finding, const Finding& recorded) {
  // The function that waits may say that it is a lock, where the record knows no owner.
  const bool lock = finding.kind == kind_word(record::Kind::kOrphanedLock) &&
                    recorded.kind == kind_word(record::Kind::kLostThread);
  if (!finding.handler && !lock) finding.kind = recorded.kind;
  add_holder(finding.holder, recorded.holder);
  if (recorded.evidence == evidence_word(record::Evidence::kNobodyLeft)) return;
  finding.evidence = recorded.evidence;
  if (!finding.linked_explanation.empty())
    finding.explanation = std::move(finding.linked_explanation);
  finding.linked_explanation.clear();
  finding.explanation += " " + recorded.explanation;
}

/// The same from the list of locks that were held at the fork.
void add_holder(Finding& finding, const ForkRecord& fork, const AddressSpace& space) {
  const auto held =
      std::find_if(fork.held.begin(), fork.held.end(), [&](const record::HeldLock& lock) {
        return lock.address == finding.lock.address && !lock.self;
      });
  if (held == fork.held.end()) return;
  Finding::Holder known;
  known.tid = held->owner;
  known.acquired = space.stack(std::span(&held->caller, 1));
  for (const record::ThreadInfo& thread : fork.threads) {
    if (thread.tid != held->owner) continue;
    known.name = thread_name(thread.name);
    known.start = space.function(thread.start);
    known.exited = thread.state == record::ThreadState::kExited;
  }
  add_holder(finding.holder, known);
}

void add_fork(Finding& finding, const ForkRecord& fork, const AddressSpace& space) {
  finding.fork = fork.fork.id;
  finding.fork_stack = space.stack(std::span(fork.fork.stack, fork.fork.frames));
  if (!finding.lost.empty()) return;
  // The parent has ended, or could not be looked at; the library wrote down whom it had.
  for (const record::ThreadInfo& thread : fork.threads)
    if (!thread.is_forker && thread.tid != fork.fork.parent_tid)
      finding.lost.push_back(thread_report(thread, space));
}

/// The at-fork handler that the child is in: a registered function that libc called.
void add_handler(Finding& finding, std::uint32_t image, const Context& context,
                 const AddressSpace& space) {
  const auto& stack = finding.waiter.stack;
  const auto called_by_libc = [&](const Frame& function) {
    for (std::size_t i = 0; i + 1 < stack.size(); ++i)
      if (stack[i].function == function.function && stack[i].module == function.module &&
          is_libc_module(stack[i + 1].module))
        return true;
    return false;
  };
  for (const AtforkRecord& record : context.session.atforks) {
    if (record.meta.image != image) continue;
    for (const auto phase : {record::HandlerPhase::kChild, record::HandlerPhase::kPrepare}) {
      const Finding::Handler handler = handler_at(&record.atfork, phase, space);
      if (!handler.function || handler.function->function.empty() ||
          !called_by_libc(*handler.function))
        continue;
      finding.handler = handler;
      if (finding.kind == kind_word(record::Kind::kOrphanedLock))
        finding.kind = kind_word(record::Kind::kAtforkHandler);
      finding.explanation += " " + inside_handler_words(handler);
      return;
    }
  }
}

}  // namespace

bool proves_hang(const WatchedFinding& watched) {
  const Finding& finding = watched.finding;
  return finding.severity == "deadlock" && finding.certainty == "proven" &&
         finding.outcome != "came back";
}

void mark_hung_children(std::vector<ChildOutcome>& outcomes, const Context& context,
                        const RunFacts& facts) {
  for (const WatchedFinding& watched : facts.watched) {
    const std::size_t index = fork_of(watched, context);
    if (index == kNoFork || !proves_hang(watched)) continue;
    outcomes[index].end = ChildEnd::kDeadlock;
    outcomes[index].status.reset();
  }
}

void join_watched_findings(std::vector<Candidate>& candidates, Context& context,
                           const RunFacts& facts) {
  const auto recorded_end = static_cast<std::ptrdiff_t>(candidates.size());
  std::vector<Candidate> added;
  std::vector<bool> replaced(candidates.size());
  for (const WatchedFinding& watched : facts.watched) {
    Candidate candidate{watched.finding, watched.time};
    Finding& finding = candidate.finding;
    if (const std::size_t index = fork_of(watched, context); index != kNoFork) {
      const ForkRecord& fork = context.session.forks[index];
      const AddressSpace& space = context.spaces.of(fork.meta);
      add_fork(finding, fork, space);
      name_lock(finding.lock, context, fork.meta);
      if (finding.lock.address != 0) add_holder(finding, fork, space);
      add_handler(finding, fork.meta.image, context, space);
    }
    const auto same = std::find_if(candidates.begin(), candidates.begin() + recorded_end,
                                   [&](const Candidate& recorded) {
                                     return is_same_process(recorded.finding, finding) &&
                                            is_hang_found_by_library(recorded.finding);
                                   });
    if (same != candidates.begin() + recorded_end) {
      add_view(same->finding, finding);
      continue;
    }
    if (finding.outcome == "came back") finding.severity = severity_word(record::Severity::kHazard);
    for (std::size_t i = 0; i < candidates.size() && finding.outcome != "came back"; ++i) {
      const Finding& recorded = candidates[i].finding;
      if (!is_same_process(recorded, finding)) continue;
      if (is_wait_of(recorded, finding)) {
        add_evidence(finding, recorded);
        add_wait(finding, recorded);
      } else if (proves_hang(watched) && is_warning_of(recorded, finding)) {
        if (recorded.libc) add_warning(finding, recorded);
        add_evidence(finding, recorded);
        add_holder(finding.holder, recorded.holder);
      } else {
        continue;
      }
      replaced[i] = true;
    }
    if (finding.fork != 0 && finding.outcome != "came back")
      context.watched_locks.emplace(finding.fork, finding.lock.address);
    added.push_back(std::move(candidate));
  }
  for (std::size_t i = 0; i < candidates.size(); ++i)
    for (const Candidate& hang : added)
      replaced[i] = replaced[i] || says_the_same(hang.finding, candidates[i].finding);
  std::vector<Candidate> kept;
  for (std::size_t i = 0; i < candidates.size(); ++i)
    if (!replaced[i]) kept.push_back(std::move(candidates[i]));
  for (Candidate& candidate : added) kept.push_back(std::move(candidate));
  candidates = std::move(kept);
}

}  // namespace forkscope
