#include "detector/verdict/explain.hpp"

#include <fmt/format.h>

#include <map>
#include <tuple>
#include <vector>

#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Evidence;
using record::Kind;
using record::Severity;

constexpr std::size_t kMaxNamed = 6;  // threads listed by name in one sentence

std::string fork_clause(const ForkRecord& fork) {
  const record::Fork& f = fork.fork;
  if (f.api == record::Api::kUnknown) return fmt::format("thread {} forked", f.parent_tid);
  if (f.api == record::Api::kAtfork) {
    return fmt::format("thread {} forked inside libc (as forkpty and daemon do)", f.parent_tid);
  }
  return fmt::format("thread {} called {}()", f.parent_tid, api_word(f.api));
}

/// "when thread 4700 called fork()".
std::string when_forked(const FindingFacts& facts) {
  return "when " + (facts.fork != nullptr
                        ? fork_clause(*facts.fork)
                        : fmt::format("process {} was forked", facts.record.meta.pid));
}

std::string list_threads(const std::vector<const record::ThreadInfo*>& threads,
                         const std::string& conjunction) {
  std::string text;
  for (std::size_t i = 0; i < threads.size() && i < kMaxNamed; ++i) {
    const bool last = i + 1 == threads.size();
    if (i > 0) text += last ? " " + conjunction + " " : ", ";
    text += thread_words(threads[i]->tid, thread_name(threads[i]->name));
  }
  if (threads.size() > kMaxNamed) text += fmt::format(" and {} more", threads.size() - kMaxNamed);
  return text;
}

/// How the call of the child ends, as the rest of a sentence "so ...".
std::string consequence(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::int32_t pid = facts.record.meta.pid;
  if (is_try(f.call)) {
    return fmt::format("so {}() in process {} fails each time", call_word(f.call), pid);
  }
  if (is_timed(f.call)) {
    return fmt::format("so {}() in process {} can only end by its time limit", call_word(f.call),
                       pid);
  }
  if (f.lock_flags & record::kLockPi) {
    return fmt::format(
        "so nobody in process {} will ever unlock it. It is a priority-inheritance mutex: the "
        "kernel refuses to wait for a thread that does not exist, and glibc aborts the process",
        pid);
  }
  return fmt::format("so nobody in process {} will ever unlock it", pid);
}

/// "Thread 4711 (row-reader) held it when thread 4700 called fork()."
std::string who_held(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string holder = thread_words(f.holder_tid, thread_name(f.holder_name));
  const std::string when = when_forked(facts);
  if (f.holder_exited) {
    return fmt::format(
        "{} took it and ended without unlocking it, and that was so {}. The lock is "
        "lost in the parent as well.",
        capitalised(holder), when);
  }
  if (f.evidence != Evidence::kInTransit) {
    return fmt::format("{} held it {}.", capitalised(holder), when);
  }
  std::string candidates = holder;
  if (f.holder_tid == 0) {
    std::vector<const record::ThreadInfo*> inside;
    for (const record::ThreadInfo& thread : facts.record.threads) {
      if (thread.wait_object == f.lock && !thread.is_forker) inside.push_back(&thread);
    }
    if (!inside.empty()) {
      candidates = list_threads(inside, "or");
    } else if (f.holder_name[0] == '\0') {
      candidates = "another thread";
    }
  }
  return fmt::format(
      "{} was just taking or releasing it {}: it was locked and its owner not yet "
      "written, or already cleared.",
      capitalised(candidates), when);
}

/// One clause for each object the threads waited for: what they did is what the child hopes for.
std::string what_they_did(const FindingFacts& facts) {
  using Place = std::tuple<record::ThreadState, std::uint64_t>;
  std::map<Place, std::vector<const record::ThreadInfo*>> places;
  for (const record::ThreadInfo& thread : facts.record.threads) {
    if (!thread.is_forker) places[{thread.state, thread.wait_object}].push_back(&thread);
  }
  std::string text;
  for (const auto& [place, threads] : places) {
    const auto [state, object] = place;
    std::string doing = threads.size() == 1 ? "was " : "were ";
    switch (state) {
      case record::ThreadState::kCondWait:
        doing += "waiting on " + lock_words(facts.space.lock(object, "condition variable"));
        break;
      case record::ThreadState::kLocking:
        doing += "taking " + lock_words(facts.space.lock(object, "mutex"));
        break;
      case record::ThreadState::kStarting:
        doing += "just starting";
        break;
      case record::ThreadState::kExited:
        doing = "had ended";
        break;
      case record::ThreadState::kRunning:
        doing += "running";
        break;
    }
    text += (text.empty() ? "" : "; ") + list_threads(threads, "and") + " " + doing;
  }
  return text;
}

std::string lost_thread_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::int32_t pid = facts.record.meta.pid;
  std::string text = fmt::format("Process {} waits on {}", pid, lock_words(facts.lock));
  if (f.wait_mutex != 0) {
    text += " (with " + lock_words(facts.space.lock(f.wait_mutex, "mutex")) + ")";
  }
  text += " until another thread signals it. ";
  std::size_t lost = 0;
  for (const record::ThreadInfo& thread : facts.record.threads) lost += !thread.is_forker;
  if (lost > 0) {
    text += fmt::format("A forked child has only the thread that called fork; {} not copied {}: {}",
                        lost == 1 ? "this one was" : fmt::format("these {} were", lost),
                        when_forked(facts), what_they_did(facts));
    text += ". ";
  } else {
    text += fmt::format("The threads there were {} have not been copied. ", when_forked(facts));
  }
  const std::string partner =
      f.holder_tid == 0 ? "One of them"
                        : capitalised(thread_words(f.holder_tid, thread_name(f.holder_name)));
  if (f.evidence == Evidence::kSameCondition) {
    text += partner + " waited on or signalled the same condition variable before. ";
  } else if (f.evidence == Evidence::kSameMutex) {
    text += partner + " worked with the same mutex: it is the other end of this wait. ";
  }
  if (is_timed(f.call)) {
    return text + fmt::format("So {}() can only end by its time limit.", call_word(f.call));
  }
  if (f.living > 1) {
    return text + fmt::format(
                      "The {} threads process {} has now were started after the fork and "
                      "do not know of this wait.",
                      f.living, pid);
  }
  return text + fmt::format("So nobody is left in process {} who could signal it.", pid);
}

std::string self_held_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string forker = facts.fork != nullptr
                                 ? fmt::format("Thread {}", facts.fork->fork.parent_tid)
                                 : std::string("The forking thread");
  std::string text = fmt::format(
      "{} held it itself when it called {}: the fork was inside the critical section. The child "
      "goes on as the same thread with the new thread id {}. ",
      forker, facts.fork != nullptr ? api_word(facts.fork->fork.api) + "()" : "fork",
      facts.record.meta.tid);
  const bool owner_checked = f.lock_type == record::LockType::kMutexRecursive ||
                             f.lock_type == record::LockType::kMutexErrorcheck ||
                             (f.lock_flags & (record::kLockRobust | record::kLockPi)) != 0;
  if (owner_checked) {
    text += fmt::format(
        "A {} compares its owner with that id, so the child is not taken for the holder: unlocking "
        "fails with EPERM, ",
        facts.lock.type);
  } else {
    text += "It has not unlocked the lock since, ";
  }
  if (is_try(f.call)) return text + "and each attempt to take it again fails.";
  if (is_timed(f.call)) return text + "and taking it again can only end by its time limit.";
  if (f.lock_flags & record::kLockPi) {
    return text + "and glibc aborts the process when it is taken again.";
  }
  return text + "and by taking it again it waits for itself.";
}

std::string stale_owner_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  return fmt::format(
      "The lock's owner word holds thread id {}, which no thread of process {} has: it is from "
      "before the fork. Unlocking compares that word with the caller's id and fails with EPERM, "
      "{}.",
      f.holder_tid, facts.record.meta.pid, consequence(facts));
}

std::string cause(const FindingFacts& facts) {
  switch (facts.record.finding.kind) {
    case Kind::kOrphanedLock:
      return who_held(facts) + " A forked child has only the thread that called fork, " +
             consequence(facts) + ".";
    case Kind::kLostThread:
      return lost_thread_explanation(facts);
    case Kind::kSelfHeldLock:
      return self_held_explanation(facts);
    case Kind::kStaleOwner:
      return stale_owner_explanation(facts);
  }
  return "";
}

}  // namespace

std::string verdict_of(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string lock = lock_words(facts.lock);
  const bool lost_thread = f.kind == Kind::kLostThread;
  if (f.severity == Severity::kLatent) {
    return fmt::format("went well, but can wait for ever {} {}", lost_thread ? "on" : "for", lock);
  }
  if (facts.outcome == record::Outcome::kAcquired) {
    return lost_thread
               ? fmt::format("waited on {} for threads that fork did not copy, and was woken", lock)
               : fmt::format("waited for {}, which fork had orphaned, and got it after all", lock);
  }
  if (f.severity != Severity::kDeadlock) {
    if (lost_thread) return fmt::format("waits on {} for threads that fork did not copy", lock);
    return fmt::format("cannot take {}: who held it was not copied by fork", lock);
  }
  switch (f.kind) {
    case Kind::kLostThread:
      return fmt::format("waits for ever on {} for a thread that fork did not copy", lock);
    case Kind::kSelfHeldLock:
      return fmt::format("waits for ever for {}, which it took itself before the fork", lock);
    case Kind::kStaleOwner:
      return fmt::format("waits for ever for {}, whose owner is a thread id from before the fork",
                         lock);
    case Kind::kOrphanedLock:
      break;
  }
  if (f.lock_flags & record::kLockPi) return fmt::format("is aborted by glibc taking {}", lock);
  return fmt::format("waits for ever for {}, held by {}, which fork did not copy", lock,
                     thread_words(f.holder_tid, thread_name(f.holder_name)));
}

std::string explanation_of(const FindingFacts& facts) {
  std::string text = cause(facts);
  if (facts.record.finding.severity == Severity::kLatent) {
    text += " This run passed; with another timing it deadlocks.";
  }
  if (!facts.outcome) return text;
  switch (*facts.outcome) {
    case record::Outcome::kAcquired:
      return text +
             " The call came back after all, so this was no deadlock: something outside "
             "what forkscope sees let it go on.";
    case record::Outcome::kBroken:
      return text +
             " --on-deadlock=break let the call through without the lock: what the child "
             "did afterwards proves nothing.";
    case record::Outcome::kBlocked:
    case record::Outcome::kKilled:
    case record::Outcome::kAborted:
    case record::Outcome::kExited:
      break;
  }
  return text;
}

std::string verdict_of(const OrphanFacts& facts) {
  return fmt::format("was forked while another thread held {}", lock_words(facts.lock));
}

std::string explanation_of(const OrphanFacts& facts) {
  const std::string holder = capitalised(thread_words(facts.held.owner, facts.holder_name));
  const std::string when = fork_clause(facts.fork);
  const std::int32_t pid = facts.fork.fork.child;
  std::string text;
  if (facts.holder_exited) {
    text = fmt::format("{} took it and had ended without unlocking it when {}.", holder, when);
  } else if (facts.held.flags & record::kLockInTransit) {
    text = fmt::format("{} was just taking or releasing it when {}.", holder, when);
  } else {
    text = fmt::format("{} held it when {}.", holder, when);
  }
  switch (facts.child_end) {
    case ChildEnd::kExit:
    case ChildEnd::kSignal:
      return text + fmt::format(" Process {} ended without waiting for it.", pid);
    case ChildEnd::kUnknown:
    case ChildEnd::kExec:
    case ChildEnd::kRunning:
    case ChildEnd::kDeadlock:
      break;
  }
  return text + fmt::format(
                    " Process {} has not waited for it so far; if it does, it waits for "
                    "ever.",
                    pid);
}

}  // namespace forkscope
