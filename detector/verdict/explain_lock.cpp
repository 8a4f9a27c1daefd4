// Locks: orphaned-lock, self-held-lock, stale-owner.
#include <fmt/format.h>

#include <vector>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Evidence;
using record::Kind;
using record::LockType;

bool is_reader(const record::Finding& f) { return (f.lock_flags & record::kLockReader) != 0; }

/// " for reading", " for writing" of a lock that can be held in two ways, else nothing.
std::string mode_words(const record::Finding& f) {
  const std::string mode = mode_word(f.lock_type, f.lock_flags);
  if (mode.empty()) return "";
  return mode == "read" ? " for reading" : " for writing";
}

bool wants_to_read(record::Call call) {
  return call == record::Call::kRwlockRdlock || call == record::Call::kRwlockTryrdlock ||
         call == record::Call::kRwlockTimedrdlock || call == record::Call::kRwlockClockrdlock;
}

/// "waits for ever for", "spins for ever on", "waits for ever to read under".
std::string waits_for(const record::Finding& f) {
  if (f.lock_type == LockType::kSpinlock) return "spins for ever on";
  if (f.lock_type == LockType::kSemaphore) return "waits for ever on";
  if (f.lock_type == LockType::kRwlock) {
    return wants_to_read(f.call) ? "waits for ever to read-lock" : "waits for ever to write-lock";
  }
  return "waits for ever for";
}

/// What the thread was doing with it, after its name.
std::string held_words(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  if (f.lock_type == LockType::kStaticGuard) return "was inside " + lock_words(facts.lock);
  if (f.lock_type == LockType::kOnce) return "was inside the function that runs once";
  if (f.evidence == Evidence::kHolderTable) {
    return "took it" + mode_words(f) + " and had not released it";
  }
  return "held it" + mode_words(f);
}

/// Of a lock in transit: the threads that come into question.
std::string candidates(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  if (f.holder_tid != 0) return holder_words(facts);
  std::vector<const record::ThreadInfo*> inside;
  for (const record::ThreadInfo& thread : facts.record.threads) {
    if (thread.wait_object == f.lock && !thread.is_forker) inside.push_back(&thread);
  }
  if (!inside.empty()) return list_threads(inside, "or");
  return f.holder_name[0] == '\0' ? "another thread" : holder_words(facts);
}

/// "Thread 4711 (row-reader) held it when thread 4700 called fork()."
std::string who_held(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string when = when_forked(facts);
  if (f.holder_exited) {
    return fmt::format(
        "{} took it and ended without unlocking it, and that was so {}. The lock is lost in the "
        "parent as well.",
        capitalised(holder_words(facts)), when);
  }
  if (f.evidence == Evidence::kWaitedLast) {
    return fmt::format(
        "{} waited for it last and had not posted it {}. Nobody owns a semaphore, any thread may "
        "post it: that this one would have is evidence, not ownership.",
        capitalised(holder_words(facts)), when);
  }
  if (f.evidence == Evidence::kInTransit) {
    const char* words = f.lock_type == LockType::kRwlock || f.lock_type == LockType::kSpinlock
                            ? "it was locked, and nothing says yet, or any more, by whom"
                            : "it was locked and its owner not yet written, or already cleared";
    return fmt::format("{} was just taking or releasing it {}: {}.", capitalised(candidates(facts)),
                       when, words);
  }
  return fmt::format("{} {} {}.", capitalised(holder_words(facts)), held_words(facts), when);
}

std::string orphan_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  std::string text = who_held(facts) + " A forked child has only the thread that called fork, ";
  if (f.lock_type == LockType::kSemaphore && record::waits_of(f.call) == record::Waits::kForever) {
    return text +
           fmt::format("so nobody is left in process {} who would post it.", facts.record.meta.pid);
  }
  if (f.lock_type == LockType::kStaticGuard || f.lock_type == LockType::kOnce) {
    return text +
           "so nobody will ever finish that, and every thread that comes there waits for it.";
  }
  text += consequence(facts);
  text += ".";
  if (f.lock_type == LockType::kSpinlock && f.call == record::Call::kSpinLock) {
    text += " It does not sleep: the child uses all of a processor, and looks busy.";
  }
  return text;
}

std::string forker_words(const FindingFacts& facts) {
  if (facts.fork != nullptr) return fmt::format("Thread {}", facts.fork->fork.parent_tid);
  return "The forking thread";
}

/// "Thread 101 held it itself when it called fork(): ...". How the forking thread comes to hold it.
std::string held_by_forker(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  return fmt::format(
      "{} held it{} itself when it called {}: the fork was inside the critical section{}. The "
      "child "
      "goes on as the same thread with the new thread id {}. ",
      forker_words(facts), mode_words(f),
      facts.fork != nullptr ? call_words(api_word(facts.fork->fork.api)) : "fork",
      // A handler that does not know of thread ids is the usual way to a stale owner.
      f.kind == Kind::kStaleOwner ? ", or a prepare handler of pthread_atfork() took the lock" : "",
      facts.record.meta.tid);
}

std::string again_words(const record::Finding& f) {
  if (is_try(f.call)) return "and each attempt to take it again fails.";
  if (is_timed(f.call)) return "and taking it again can only end by its time limit.";
  if (f.lock_flags & record::kLockPi) {
    return "and glibc aborts the process when it is taken again.";
  }
  if (f.lock_type == LockType::kSpinlock) {
    return "and by taking it again it spins without end: the child uses all of a processor.";
  }
  return "and by taking it again it waits for itself.";
}

std::string self_held_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  if (f.lock_type == LockType::kStaticGuard || f.lock_type == LockType::kOnce) {
    return fmt::format("{} {} when it forked: the child goes on in the middle of it, {}",
                       forker_words(facts), held_words(facts), again_words(f));
  }
  std::string text = held_by_forker(facts);
  if (compares_owner(f)) {
    text += fmt::format(
        "{} compares its owner with that id, so the child is not taken for the holder: unlocking "
        "fails with EPERM, ",
        capitalised(with_article(facts.lock.type)));
  } else {
    text += "It has not unlocked the lock since, ";
  }
  return text + again_words(f);
}

bool is_unlock(record::Call call) {
  return call == record::Call::kMutexUnlock || call == record::Call::kMtxUnlock ||
         call == record::Call::kRwlockUnlock;
}

std::string stale_owner_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  std::string text = held_by_forker(facts);
  if (f.lock_type == LockType::kRwlock) {
    text += fmt::format(
        "The lock still names its writer by the old id {}. glibc unlocks for writing only if that "
        "is the caller's id: here it takes the caller for a reader, ",
        f.holder_tid);
    if (is_unlock(f.call)) {
      return text +
             "and takes one from a count of readers that is 0. The lock is damaged: it stays "
             "locked, or lets in whom it should not.";
    }
    return text + "and a thread that locks it is not told EDEADLK but waits, for itself.";
  }
  text += fmt::format("{} compares its owner, which is still the old id {}, with the caller's: ",
                      capitalised(with_article(facts.lock.type)), f.holder_tid);
  if (is_unlock(f.call)) {
    text += "this unlock fails with EPERM and the lock stays locked. ";
    return text + ((f.lock_flags & record::kLockPi)
                       ? "When it is locked again, glibc aborts the process."
                       : "Whoever locks it next waits for ever.");
  }
  return text + "unlocking fails with EPERM, " + again_words(f);
}

/// Whether glibc aborts or waits depends on whether the holder still lives in the parent by then.
std::string pi_verdict(const FindingFacts& facts) {
  const std::string lock = lock_words(facts.lock);
  const std::string held = facts.record.finding.kind == Kind::kOrphanedLock
                               ? "held by " + holder_words(facts) + ", which fork did not copy"
                               : "whose owner is a thread id from before the fork";
  if (facts.death) return fmt::format("was aborted by glibc taking {}, {}", lock, held);
  return fmt::format("can never take {}, {}: glibc aborts or waits for ever", lock, held);
}

}  // namespace

std::string lock_verdict(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string lock = lock_words(facts.lock);
  const bool stale = f.kind == Kind::kStaleOwner;
  if (stale && is_unlock(f.call)) {
    return fmt::format("cannot unlock {}: its owner is a thread id from before the fork", lock);
  }
  if (facts.severity != record::Severity::kDeadlock) {
    if (f.kind == Kind::kSelfHeldLock) {
      return fmt::format("cannot take {}, which it took itself before the fork", lock);
    }
    if (stale) {
      return fmt::format("cannot take {}: its owner is a thread id from before the fork", lock);
    }
    return fmt::format("cannot take {}: who held it was not copied by fork", lock);
  }
  if ((f.lock_flags & record::kLockPi) != 0 && !f.holder_exited) return pi_verdict(facts);
  if (f.kind == Kind::kSelfHeldLock) {
    return fmt::format("{} {}, which it took itself before the fork", waits_for(f), lock);
  }
  if (stale) {
    return fmt::format("{} {}, whose owner is a thread id from before the fork", waits_for(f),
                       lock);
  }
  const std::string holder = holder_words(facts);
  if (f.evidence == Evidence::kWaitedLast) {
    return fmt::format("{} {}, which {}, not copied by fork, waited for last and had not posted",
                       waits_for(f), lock, holder);
  }
  const char* held =
      f.lock_type == LockType::kStaticGuard || f.lock_type == LockType::kOnce
          ? "begun"
          : (f.lock_type == LockType::kRwlock && is_reader(f) ? "read-locked" : "held");
  return fmt::format("{} {}, {} by {}, which fork did not copy", waits_for(f), lock, held, holder);
}

std::string lock_explanation(const FindingFacts& facts) {
  switch (facts.record.finding.kind) {
    case Kind::kSelfHeldLock:
      return self_held_explanation(facts);
    case Kind::kStaleOwner:
      return stale_owner_explanation(facts);
    default:
      return orphan_explanation(facts);
  }
}

}  // namespace forkscope
