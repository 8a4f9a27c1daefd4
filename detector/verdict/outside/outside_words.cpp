#include "detector/verdict/outside/outside_words.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/cures.hpp"
#include "detector/verdict/libc_calls.hpp"
#include "detector/verdict/looks.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using Where = LockOwner::Where;
using record::LockType;

constexpr std::size_t kMaxNamed = 4;  ///< threads in one sentence

/// "pool-0, pool-1 and 7 others"
std::string list_names(const std::vector<const ThreadEvidence*>& threads) {
  std::string text;
  const std::size_t shown = threads.size() <= kMaxNamed ? threads.size() : kMaxNamed - 1;
  for (std::size_t i = 0; i < shown; ++i) {
    if (i > 0) text += i + 1 == threads.size() ? " and " : ", ";
    text += thread_words(threads[i]->tid, threads[i]->name);
  }
  if (shown < threads.size()) text += fmt::format(" and {} others", threads.size() - shown);
  return text;
}

/// What a thread waits for, with its article: "mutex orders.file_lock", "a lock inside libc".
std::string lock_clause(const ThreadView& view, const LockInfo& place) {
  if (view.family == LockFamily::kJoin) {
    if (view.owner.where == Where::kHere)
      return "the end of " + thread_words(view.owner.tid, view.owner.name);
    return "the end of a thread";
  }
  if (view.family == LockFamily::kLibcLock) {
    std::string text = "a lock inside libc";
    if (!place.symbol.empty()) text += " (" + place.symbol + ")";
    if (const Frame* called = called_libc_function(view.thread->stack))
      text += ", in " + called->function + "()";
    return text;
  }
  return lock_words(place);
}

/// "waits for a mutex", "waits on a condition variable"
bool waits_for(const ThreadView& view) {
  return view.is_lock() || view.family == LockFamily::kJoin;
}

std::string wait_clause(const ThreadView& view, const LockInfo& place) {
  const char* preposition = waits_for(view) ? "for" : "on";
  return fmt::format("waits {} {}", preposition, lock_clause(view, place));
}

const ThreadDiagnosis& diagnosis_of(const Diagnosis& diagnosis, const OutsideFacts& facts,
                                    const ThreadView& view) {
  return diagnosis.threads[std::size_t(&view - facts.views.data())];
}

std::string in_module(const ThreadView& view, const std::string& program) {
  const Frame* frame = innermost_program_frame(view.thread->stack);
  if (frame == nullptr || frame->module == program) return "";
  return ", called from " + base_name(frame->module);
}

/// "thread 3 waits for ever for mutex m, held by ..., which was not copied"
std::string wait_for_ever(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  const ThreadView& view = *facts.culprit;
  const ThreadDiagnosis& thread = diagnosis_of(diagnosis, facts, view);
  std::string text = thread_words(thread.tid, thread.name);
  if (!view.wait.futex) {
    text += (view.wait.kind == WaitKind::kRunning ? " spins in "
             : facts.ground == Ground::kInstant   ? " naps in "
                                                  : " sleeps again and again in ") +
            place_of_pause(facts);
  } else {
    text += facts.ground == Ground::kRounds    ? " waits again and again "
            : facts.ground == Ground::kInstant ? " waits for a limited time "
                                               : " waits for ever ";
    text += (waits_for(view) ? "for " : "on ") + lock_clause(view, thread.place);
  }
  switch (view.owner.where) {
    case Where::kAncestor:
      return text + fmt::format(", held by {} of process {}, which was not copied",
                                thread_words(view.owner.tid, view.owner.name), view.owner.pid);
    case Where::kGone:
      return text + fmt::format(", held by thread {}, which does not exist here", view.lock.owner);
    case Where::kItself:
      return text + ", which it held itself when it was forked";
    case Where::kHere:
    case Where::kUnknown:
      break;
  }
  text += in_module(view, facts.evidence.process.exe);
  if (!facts.missed.empty())
    return text + ", whose threads were not copied: " + list_names(facts.missed);
  if (facts.ground == Ground::kNobodyHolds)
    return text + ", which no thread here is seen to hold";
  if (facts.ground == Ground::kUnserved)
    return text + ", of which no other thread here is seen to know";
  return text + ", and nobody is left here who could end that";
}

/// "When it was forked, 2 other threads lived, which were not copied: they ran pool_worker()."
std::string remembered_sentence(const std::vector<RememberedThread>& threads) {
  std::vector<std::string> functions;
  for (const RememberedThread& thread : threads) {
    // The C++ library's own start routine tells nobody anything.
    if (!thread.start_routine || is_standard_library(*thread.start_routine)) continue;
    const Frame& start = *thread.start_routine;
    const std::string name = !start.function.empty() ? start.function + "()"
                             : !start.module.empty()
                                 ? fmt::format("{}+{:#x}", base_name(start.module), start.offset)
                                 : "";
    if (!name.empty() && std::find(functions.begin(), functions.end(), name) == functions.end())
      functions.push_back(name);
  }
  std::string text =
      threads.size() == 1
          ? "Its memory shows that another thread lived when it was forked, which was not copied"
          : fmt::format("Its memory shows that {} other threads lived when it was forked, which were "
                        "not copied",
                        threads.size());
  for (std::size_t i = 0; i < functions.size() && i < kMaxNamed; ++i)
    text += (i == 0 ? "; started in " : ", ") + functions[i];
  return text + ".";
}

/// Threads of a pool that sleep are in code that takes the pool's lock, and have it not.
bool says_nothing(const WaitLink& link, const OutsideFacts& facts) {
  if (facts.kind != record::Kind::kOrphanedLock || link.how != WaitLink::How::kCode) return false;
  return std::any_of(facts.lost.begin(), facts.lost.end(), [&](const ThreadEvidence* thread) {
    const Wait wait = wait_of(*thread, facts.evidence.process.abi);
    return thread->tid == link.lost && wait.futex && wait.for_ever;
  });
}

/// "Thread 12 (pool-0) knows of what it waits on: its stack has a pointer to it."
std::string link_sentence(const WaitLink& link, const std::vector<const ThreadEvidence*>& lost) {
  std::string who = "A thread that was not copied";
  for (const ThreadEvidence* thread : lost)
    if (thread->tid == link.lost) who = thread_words(thread->tid, thread->name);
  who.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(who.front())));
  switch (link.how) {
    case WaitLink::How::kStack:
      return who + " knows of what it waits on: its stack has a pointer to it.";
    case WaitLink::How::kHeap:
      return who + " knows of what it waits on: pointers lead there from its stack.";
    case WaitLink::How::kCode:
      return who + " runs code that refers to what it waits on.";
  }
  return {};
}

LockType lock_type_of(const ThreadView& view) {
  const RecognisedLock& lock = view.lock;
  switch (view.family) {
    case LockFamily::kMutex:
      return lock.type.find("recursive") != std::string::npos  ? LockType::kMutexRecursive
             : lock.type.find("checking") != std::string::npos ? LockType::kMutexErrorcheck
             : lock.type.find("adaptive") != std::string::npos ? LockType::kMutexAdaptive
                                                               : LockType::kMutexNormal;
    case LockFamily::kRwlock:
      return LockType::kRwlock;
    case LockFamily::kCondition:
      return LockType::kCondition;
    case LockFamily::kSemaphore:
      return LockType::kSemaphore;
    case LockFamily::kOnce:
    case LockFamily::kRustOnce:
      return LockType::kOnce;
    case LockFamily::kBarrier:
    case LockFamily::kGompBarrier:
      return LockType::kBarrier;
    case LockFamily::kJoin:
      return LockType::kThread;
    case LockFamily::kStaticGuard:
      return LockType::kStaticGuard;
    case LockFamily::kLibcLock:
    case LockFamily::kUnknown:
      return LockType::kUnknown;
    case LockFamily::kRustMutex:
    case LockFamily::kRustRwlock:
    case LockFamily::kRustCondvar:
    case LockFamily::kRustParker:
    case LockFamily::kParkingLot:
    case LockFamily::kAbseil:
    case LockFamily::kGompLock:
    case LockFamily::kPyMutex:
    case LockFamily::kAtomicWait:
      return LockType::kFutex;
  }
  return LockType::kUnknown;
}

/// Signal, broadcast and destroy of what other threads waited on, which a fork keeps.
bool touches_inherited_waiters(const std::string& function) {
  return function.starts_with("pthread_cond_signal") ||
         function.starts_with("pthread_cond_broadcast") ||
         function.starts_with("pthread_cond_destroy") ||
         function.starts_with("pthread_barrier_destroy");
}

std::string cure_of(const OutsideFacts& facts, const Finding& finding) {
  const RecognisedLock& lock = facts.culprit->lock;
  CureFacts cure = cure_facts_of(finding, facts.evidence.process.exe, facts.kind);
  cure.lock_type = lock_type_of(*facts.culprit);
  cure.compares_owner = cure.lock_type == LockType::kMutexRecursive ||
                        cure.lock_type == LockType::kMutexErrorcheck || lock.robust ||
                        lock.type.find("inheriting") != std::string::npos;
  const Frame* called = called_libc_function(facts.culprit->thread->stack);
  if (called != nullptr && touches_inherited_waiters(called->function))
    cure.evidence = record::Evidence::kInheritedWaiters;
  if (facts.kind == record::Kind::kLibcLock)
    cure.libc_cure = libc_call_cure(called != nullptr ? called->function : "");
  return cure_for(cure);
}

std::string ever_waiting_thread(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  const ThreadView* shown = &facts.views.front();
  const ThreadDiagnosis& thread = diagnosis_of(diagnosis, facts, *shown);
  std::string text = thread_words(thread.tid, thread.name) + " " + thread.does;
  if (facts.views.size() > 1) text += fmt::format("; {} threads in all", facts.views.size());
  return text;
}

}  // namespace

std::string program_name(const ProcessEvidence& process) {
  constexpr std::string_view kDeleted = " (deleted)";  // the kernel's word, no part of the name
  if (process.exe.ends_with(kDeleted))
    return base_name(process.exe.substr(0, process.exe.size() - kDeleted.size()));
  if (!process.exe.empty()) return base_name(process.exe);
  if (!process.command.empty()) return base_name(process.command.front());
  return process.name;
}

/// Of a lock that only the waiting function tells.
static std::string type_word(LockFamily family) {
  switch (family) {
    case LockFamily::kMutex:
      return "mutex";
    case LockFamily::kRwlock:
      return "read-write lock";
    case LockFamily::kCondition:
      return "condition variable";
    case LockFamily::kJoin:
      return "thread";
    default:
      return family_word(family);
  }
}

ThreadDiagnosis thread_diagnosis(const ThreadView& view, const DataNamer& name) {
  const ThreadEvidence& thread = *view.thread;
  ThreadDiagnosis result;
  result.tid = thread.tid;
  result.name = thread.name;
  result.does = view.wait.does;
  result.for_ever = view.wait.for_ever;
  result.owner = view.owner;
  result.stack = thread.stack;
  result.stack_complete = thread.stack_complete;
  result.python = thread.python;
  if (!view.wait.futex) return result;
  result.lock = view.lock;
  const std::uint64_t address =
      view.lock.address != 0 ? view.lock.address : view.wait.futex->address;
  const bool read = view.lock.confidence >= Confidence::kLikely || !view.known.type.empty();
  result.place = name(address, read                                  ? view.lock.type
                               : view.family == LockFamily::kUnknown ? "futex word"
                                                                     : type_word(view.family));
  if (view.family == LockFamily::kSemaphore || view.family == LockFamily::kBarrier)
    leave_out_union(result.place);
  result.place.mode = view.lock.mode;
  result.place.shared = view.reach == Reach::kOutside;
  result.does = wait_clause(view, result.place);
  if (view.wait.futex->timed) result.does += ", for a limited time";
  if (view.owner.where == Where::kHere && view.family != LockFamily::kJoin)
    result.does += fmt::format(", held by {}", thread_words(view.owner.tid, view.owner.name));
  return result;
}

ThreadReport lost_report(const ThreadEvidence& thread, Abi abi) {
  ThreadReport report;
  report.tid = thread.tid;
  report.name = thread.name;
  report.start = thread.start_routine;
  report.state = wait_of(thread, abi).does;
  if (!thread.python.empty()) {
    const PythonFrame& frame = thread.python.front();
    report.state += fmt::format(" in {} ({}:{})", frame.function, base_name(frame.file), frame.line);
  }
  return report;
}

std::string outside_sentence(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  const ProcessEvidence& process = facts.evidence.process;
  switch (diagnosis.answer) {
    case Answer::kDeadlock:
      return "is deadlocked by a fork: " + wait_for_ever(diagnosis, facts);
    case Answer::kProbable:
      return "is probably deadlocked by a fork: " + wait_for_ever(diagnosis, facts);
    case Answer::kStuck:
      return "waits for ever, but no fork explains it: " + ever_waiting_thread(diagnosis, facts);
    case Answer::kWaiting:
      if (process.kernel_thread) return "is a thread of the kernel, and runs no program";
      for (const ThreadView& view : facts.views)
        if (view.wait.kind == WaitKind::kStopped)
          return "is stopped: " + ever_waiting_thread(diagnosis, facts) +
                 "; what it waits for shows when it goes on";
      return "waits normally: " + ever_waiting_thread(diagnosis, facts);
    case Answer::kRunning:
      return "is running";
    case Answer::kEnded:
      return fmt::format("has ended; its parent, process {}, has not asked for its exit status",
                         process.parent);
    case Answer::kUnknown:
      break;
  }
  if (facts.culprit != nullptr && facts.unclear != Unclear::kNone)
    return unclear_sentence(diagnosis, facts);
  if (facts.culprit != nullptr && facts.signal_handlers && !facts.nobody_known)
    return "cannot be judged: " + ever_waiting_thread(diagnosis, facts) +
           "; a signal handler of the program may end that";
  if (facts.culprit != nullptr && facts.culprit->reach == Reach::kUnseen)
    return fmt::format("cannot be judged: {} {}; a core file does not tell whether other processes "
                       "share that memory, one of which might end the wait",
                       thread_words(facts.culprit->thread->tid, facts.culprit->thread->name),
                       diagnosis_of(diagnosis, facts, *facts.culprit).does);
  if (facts.culprit != nullptr && facts.culprit->lock.owner != 0)
    return fmt::format("cannot be judged: {} {}, held by thread {} of before the fork; whether that is "
                       "the one that forked and lives on here cannot be seen any more",
                       thread_words(facts.culprit->thread->tid, facts.culprit->thread->name),
                       diagnosis_of(diagnosis, facts, *facts.culprit).does,
                       facts.culprit->lock.owner);
  if (facts.culprit != nullptr)
    return "cannot be judged: " + ever_waiting_thread(diagnosis, facts) +
           ", for ever; which threads lived when it was forked is not known";
  if (process.abi == Abi::k32Bit)
    return "cannot be judged: it is a 32-bit program, whose locks forkscope does not know";
  if (!process.missing.empty()) {
    const Missing& missing = process.missing.front();
    return "cannot be judged: " + missing.what + ": " + missing.why;
  }
  return "cannot be judged: what its threads do could not be read";
}

std::vector<std::string> outside_reasons(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  std::vector<std::string> reasons;
  const Evidence& evidence = facts.evidence;
  const ProcessEvidence& process = evidence.process;
  if (facts.culprit == nullptr) {
    if (diagnosis.answer == Answer::kUnknown) return reasons;
    if (process.forked.value_or(false) && diagnosis.forked_by != 0)
      reasons.push_back(fmt::format("It is a copy of process {}, made by fork{}.",
                                    diagnosis.forked_by,
                                    facts.lost.empty() ? ", which had no other threads then" : ""));
    return reasons;
  }
  const ThreadView& view = *facts.culprit;
  if (process.forked.value_or(false)) {
    if (diagnosis.forked_by != 0) {
      reasons.push_back(fmt::format(
          "It is a copy of process {}, made by fork: the kernel says that it has not called execve "
          "since, and both have the same random bytes of their start.",
          diagnosis.forked_by));
    } else {
      reasons.push_back(
          evidence.parent_unreadable
              ? "It was created by fork and has not called execve since."
              : "It was created by fork and has not called execve since; the process it is a copy of "
                "has ended, or runs another program now.");
    }
  }
  if (!evidence.remembered_threads.empty() && facts.lost.empty())
    reasons.push_back(remembered_sentence(evidence.remembered_threads));
  if (!facts.lost.empty() && diagnosis.forked_by != 0)
    reasons.push_back(fmt::format("A fork copies only the thread that calls it: {} {} left behind.",
                                  list_names(facts.lost), facts.lost.size() == 1 ? "was" : "were"));
  if (facts.ground == Ground::kOwnerWord) {
    reasons.push_back(fmt::format("The lock names thread {} as its owner, and process {} has no such "
                                  "thread.",
                                  view.lock.owner, process.pid));
    if (!facts.closed && process.threads.size() > 1 && diagnosis.answer == Answer::kProbable)
      reasons.push_back("Other threads of the process are alive; one of them might release a lock "
                        "it does not hold.");
  }
  if (facts.closed && diagnosis.answer != Answer::kUnknown) {
    reasons.push_back(
        facts.views.size() == 1
            ? "It has one thread, which sleeps without a time limit until another thread of the same "
              "process wakes it: there is none."
            : fmt::format("All of its {} threads sleep without a time limit, each until another of "
                          "them wakes it: none will.",
                          facts.views.size()));
  }
  if (facts.ground == Ground::kRounds) reasons.push_back(rounds_sentence(evidence, view));
  if (facts.ground == Ground::kInstant && diagnosis.answer == Answer::kProbable)
    for (std::string& reason : instant_reasons(facts)) reasons.push_back(std::move(reason));
  for (const WaitLink& link : evidence.wait_links)
    if (link.waiter == view.thread->tid && !says_nothing(link, facts) &&
        (!is_owned(view.family) || facts.ground == Ground::kNobodyHolds))
      reasons.push_back(link_sentence(link, facts.lost));
  if (diagnosis.answer == Answer::kProbable) {
    if (facts.unknown_to_lost)
      reasons.push_back(
          "It is not certain because nothing shows that one of them knew of what it "
          "waits on: it may wait for ever on purpose.");
    if (evidence.process.io_uring)
      reasons.push_back("It is not certain because the program uses io_uring, which can wake it.");
    if (!evidence.process.shares_memory && !process.from_core)
      reasons.push_back("It is not certain because kcmp(2) is not allowed here, so that another "
                        "process might share its memory and wake it.");
    if (facts.signal_handlers)
      reasons.push_back(process.from_core
                            ? "It is not certain because a core file does not tell whether the "
                              "program has signal handlers, one of which could wake it."
                            : "It is not certain because the program has signal handlers, one of "
                              "which could wake it.");
    if (facts.lost.empty() && evidence.remembered_threads.empty())
      reasons.push_back("It is not certain because no trace is left of the threads that the process "
                        "had when it was forked.");
    if (facts.ground == Ground::kNobodyHolds)
      reasons.push_back(
          "The other threads of the process are not seen to know of this lock, neither from their "
          "stacks nor from the code they are in, and nothing changed for a third of a second. It is "
          "not certain because they are alive, and one of them could release it.");
    if (facts.ground == Ground::kUnserved)
      reasons.push_back(
          "The code that the other threads of the process are in does not refer to it, nor does what "
          "that calls. It is not certain because they are alive, and one of them could end the wait.");
    if (!facts.closed && facts.ground == Ground::kRoleGone)
      reasons.push_back(fmt::format(
          "Nobody here does what {} did. It is not certain because other threads of the process are "
          "alive and could end the wait.",
          list_names(facts.missed)));
  }
  if (view.lock.confidence == Confidence::kLikely)
    reasons.push_back(fmt::format("That it waits for {} is likely, judged by the bytes there.",
                                  with_article(view.lock.type)));
  return reasons;
}

static std::string joined(const std::vector<std::string>& reasons) {
  std::string text;
  for (const std::string& reason : reasons) text += (text.empty() ? "" : " ") + reason;
  return text;
}

Finding outside_finding(const Diagnosis& diagnosis, const OutsideFacts& facts) {
  const ThreadView& view = *facts.culprit;
  const ThreadDiagnosis& thread = diagnosis_of(diagnosis, facts, view);
  Finding finding;
  finding.kind = kind_word(facts.kind);
  const bool proven = diagnosis.answer == Answer::kDeadlock;
  finding.severity = severity_word(proven ? record::Severity::kDeadlock : record::Severity::kHazard);
  finding.certainty = proven ? "proven" : "probable";
  // As who samples a living process says it.
  const bool spins = view.wait.kind == WaitKind::kRunning;
  finding.evidence = spins ? "spins" : ground_word(facts.ground);
  finding.process = diagnosis.pid;
  finding.program = diagnosis.program;
  finding.verdict = wait_for_ever(diagnosis, facts);
  finding.lock = thread.place;
  finding.holder.tid = view.owner.tid;
  finding.holder.name = view.owner.name;
  finding.holder.start = view.owner.start;
  finding.holder.now = view.owner.stack;
  finding.holder.python = view.owner.python;
  finding.waiter.tid = thread.tid;
  finding.waiter.stack = thread.stack;
  finding.waiter.python = thread.python;
  finding.fork_python = python_fork_stack(thread.python);
  if (const Frame* called = called_libc_function(thread.stack); called != nullptr && !spins)
    finding.waiter.call = called->function;
  for (const ThreadEvidence* lost : facts.lost)
    finding.lost.push_back(lost_report(*lost, facts.evidence.process.abi));
  finding.explanation = joined(diagnosis.reasons.empty() ? outside_reasons(diagnosis, facts)
                                                         : diagnosis.reasons);
  if (facts.unknown_to_lost) {
    OutsideFacts linked = facts;
    linked.unknown_to_lost = false;
    finding.linked_explanation = joined(outside_reasons(diagnosis, linked));
  }
  finding.cure = cure_of(facts, finding);
  return finding;
}

}  // namespace forkscope
