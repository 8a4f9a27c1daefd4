// Waits for threads that are gone: lost-thread.
#include <fmt/format.h>

#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::Call;
using record::Evidence;
using record::LockType;
using record::Severity;

/// The words for one kind of thing that is waited at.
struct Wait {
  const char* at;     ///< "waits on", after the process
  const char* until;  ///< what another thread has to do
  const char* who;    ///< "who could signal it"
};

Wait wait_of(LockType type) {
  switch (type) {
    case LockType::kSemaphore:
      return {"on", "until another thread posts it", "who could post it"};
    case LockType::kBarrier:
      return {"at", "until the other threads arrive there", "who could arrive there"};
    case LockType::kFutex:
      return {"on", "until another thread changes it and wakes the waiters", "who could wake it"};
    case LockType::kThread:
      return {"for", "until that thread ends", "who could end it"};
    default:
      return {"on", "until another thread signals it", "who could signal it"};
  }
}

/// More threads than this are counted: what each was at stands in the list of them.
constexpr std::size_t kMostTold = 4;

bool came_back(const FindingFacts& facts) { return facts.outcome == record::Outcome::kAcquired; }

/// Which threads there were, and what each was at.
std::string roster(const FindingFacts& facts) {
  std::size_t lost = 0;
  for (const record::ThreadInfo& thread : facts.record.threads) lost += !thread.is_forker;
  if (lost == 0) {
    return fmt::format("The threads there were {} have not been copied. ", when_forked(facts));
  }
  if (lost > kMostTold) {
    return fmt::format(
        "A forked child has only the thread that called fork; the {} others were not copied {}. ",
        lost, when_forked(facts));
  }
  return fmt::format("A forked child has only the thread that called fork; {} not copied {}: {}. ",
                     lost == 1 ? "this one was" : fmt::format("these {} were", lost),
                     when_forked(facts), what_they_did(facts));
}

std::string partner(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const bool named = f.holder_tid != 0 || f.holder_name[0] != '\0';
  const std::string who = named ? capitalised(holder_words(facts)) : "One of them";
  switch (f.evidence) {
    case Evidence::kSameCondition:
      if (f.lock_type == LockType::kCondition || f.lock_type == LockType::kUnknown) {
        return who + " waited on or signalled the same condition variable before. ";
      }
      if (f.lock_type == LockType::kSemaphore) return who + " waited on it or posted it before. ";
      if (f.lock_type == LockType::kBarrier) return who + " was at the same barrier. ";
      return who + " waited on it or woke its waiters before. ";
    case Evidence::kSameMutex:
      return who + " worked with the same mutex: probably it is the other end of this wait. ";
    case Evidence::kNobodyLeft:
      return "None of them is known to have worked with it: which one the child waits for cannot "
             "be said. ";
    default:
      return "";
  }
}

std::string ending(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::int32_t pid = facts.record.meta.pid;
  if (is_timed(f.call)) {
    return fmt::format("So {} can only end by its time limit.", call_words(call_word(f.call)));
  }
  if (f.living > 1) {
    return fmt::format(
        "The {} threads process {} has now were started after the fork and do not know of this "
        "wait.",
        f.living, pid);
  }
  return fmt::format("So nobody is left in process {} {}.", pid, wait_of(f.lock_type).who);
}

std::string plain_wait_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const Wait wait = wait_of(f.lock_type);
  std::string text =
      fmt::format("Process {} waits {} {}", facts.record.meta.pid, wait.at, lock_words(facts.lock));
  if (f.wait_mutex != 0) {
    text += " (with " + lock_words(facts.space.lock(f.wait_mutex, "mutex")) + ")";
  }
  text += fmt::format(" {}. ", wait.until);
  if (f.lock_type == LockType::kFutex) {
    text +=
        "Such words are in the locks, latches and condition variables of Rust's standard library, "
        "parking_lot, Abseil, folly and std::atomic. ";
  }
  return text + roster(facts) + partner(facts) + ending(facts);
}

// ---- calls that wait for the waiters a fork did not copy ----------------------------------------

std::string inherited_waiters_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string call = call_words(call_word(f.call));
  std::string text;
  if (f.lock_type == LockType::kBarrier) {
    text = fmt::format(
        "glibc's {} waits until every thread has left the barrier, and its memory still counts "
        "threads inside. ",
        call);
  } else {
    text = fmt::format(
        "The memory of {} still counts waiters that exist in the parent only, and glibc's {} can "
        "wait for them to confirm that they have woken: with nobody to do so, for ever. ",
        lock_words(facts.lock), call);
  }
  text += roster(facts);
  if (f.holder_tid != 0) {
    text += fmt::format("{} was waiting there. ", capitalised(holder_words(facts)));
  }
  return text +
         fmt::format("So nobody in process {} can let {} return.", facts.record.meta.pid, call);
}

// ---- join ---------------------------------------------------------------------------------------

std::string join_explanation(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  const std::string call = call_words(call_word(f.call));
  const std::string holder = capitalised(holder_words(facts));
  std::string text = fmt::format("{} was {} alive {} and was not copied. ", holder,
                                 f.holder_exited ? "no longer" : "still", when_forked(facts));
  if (facts.severity == Severity::kDeadlock && !facts.death) {
    return text + fmt::format(
                      "The fork passed by libc's part of it, which marks such threads as ended: "
                      "{} waits for an end that comes from nobody.",
                      call);
  }
  text +=
      "glibc takes every thread but the forking one for ended in the child, although none of them "
      "came to its end there. ";
  if (facts.death) {
    return text + fmt::format(
                      "{} read the result from the vanished thread's stack, which may be unmapped "
                      "or used by somebody else by then, and process {} {} in it.",
                      call, facts.record.meta.pid, facts.death->words);
  }
  return text + fmt::format(
                    "{} {} 0 and a result that this thread never produced: what the thread had to "
                    "do is not done in process {}.",
                    call, came_back(facts) ? "returned" : "returns", facts.record.meta.pid);
}

std::string join_verdict(const FindingFacts& facts) {
  const std::string holder = holder_words(facts);
  const std::string call = call_words(call_word(facts.record.finding.call));
  if (facts.death) {
    return fmt::format("{} in {} of {}, which fork did not copy", facts.death->words, call, holder);
  }
  if (facts.severity == Severity::kDeadlock) {
    return fmt::format("waits for ever for the end of {}, which fork did not copy", holder);
  }
  return fmt::format("joined {}, which fork did not copy: the result is not that thread's", holder);
}

}  // namespace

std::string wait_verdict(const FindingFacts& facts) {
  const record::Finding& f = facts.record.finding;
  if (f.evidence == Evidence::kThreadGone) return join_verdict(facts);
  const std::string lock = lock_words(facts.lock);
  const char* at = wait_of(f.lock_type).at;
  const bool deadlock = facts.severity == Severity::kDeadlock;
  if (f.evidence == Evidence::kInheritedWaiters) {
    return fmt::format("{} in {} on {} for threads that fork did not copy",
                       deadlock ? "waits for ever" : "waits", call_words(call_word(f.call)), lock);
  }
  if (!deadlock) return fmt::format("waits {} {} for threads that fork did not copy", at, lock);
  if (f.evidence == Evidence::kNobodyLeft) {
    return fmt::format("waits for ever {} {}: no thread is left {}", at, lock,
                       wait_of(f.lock_type).who);
  }
  return fmt::format("waits for ever {} {} for a thread that fork did not copy", at, lock);
}

std::string wait_explanation(const FindingFacts& facts) {
  switch (facts.record.finding.evidence) {
    case Evidence::kThreadGone:
      return join_explanation(facts);
    case Evidence::kInheritedWaiters:
      return inherited_waiters_explanation(facts);
    default:
      return plain_wait_explanation(facts);
  }
}

}  // namespace forkscope
