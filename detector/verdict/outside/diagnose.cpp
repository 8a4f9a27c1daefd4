// The rules. docs/how-it-works.md gives the reasons.
#include <fmt/format.h>

#include <signal.h>

#include <algorithm>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/layout_hint.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using Where = LockOwner::Where;

constexpr std::uint64_t signal_bit(int signal) { return std::uint64_t{1} << (signal - 1); }

/// Signals whose handlers end no wait: errors of the thread itself come from none, and 32 and 33 are
/// libc's own (cancellation and setuid).
constexpr std::uint64_t kHarmlessHandlers = signal_bit(SIGSEGV) | signal_bit(SIGBUS) |
                                            signal_bit(SIGFPE) | signal_bit(SIGILL) |
                                            signal_bit(SIGSYS) | signal_bit(32) | signal_bit(33);

/// parking_lot parks threads for locks and for events alike; who called the parking tells which.
bool waits_for_parking_lot_lock(const ThreadView& view) {
  if (view.family != LockFamily::kParkingLot) return false;
  for (const Frame& frame : view.thread->stack) {
    const std::string name = layout::plain_name(frame.function);
    if (name.starts_with("parking_lot::raw_")) return true;
    if (!is_libc_module(frame.module) && !name.starts_with("parking_lot_core::")) return false;
  }
  return false;
}

bool has_python(const ProcessEvidence& process) {
  return std::any_of(process.modules.begin(), process.modules.end(),
                     [](const ModuleRecord& module) { return is_python_module(module.path); });
}

/// CPython's handlers only make a note, which the interpreter reads when it runs the next time: never,
/// while its thread waits in the code of a library.
bool handlers_only_make_notes(const ProcessEvidence& process, const ThreadView& view) {
  const Frame* frame = innermost_program_frame(view.thread->stack);
  if (!has_python(process) || frame == nullptr) return false;
  if (!is_python_module(frame->module)) return true;
  // Ctrl-C ends the wait for an event, and programs wait so until it comes; who waits for a lock
  // (the frame is not in threading.py's Condition.wait) does not wait for Ctrl-C.
  const std::vector<PythonFrame>& frames = view.thread->python;
  const bool waits_for_event = frames.empty() || (base_name(frames.front().file) == "threading.py" &&
                                                  frames.front().function.ends_with("wait"));
  return !waits_for_event &&
         process.caught_signals && (*process.caught_signals & ~kHarmlessHandlers) == signal_bit(SIGINT);
}

/// Of a core file it is not known.
bool may_have_handlers(const ProcessEvidence& process) {
  return !process.caught_signals || (*process.caught_signals & ~kHarmlessHandlers) != 0;
}

bool runs_code_of(const ThreadEvidence& thread, const std::string& module) {
  if (thread.start_routine && thread.start_routine->module == module) return true;
  return std::any_of(thread.stack.begin(), thread.stack.end(),
                     [&](const Frame& frame) { return frame.module == module; });
}

/// Waits that only make sense if another thread was to come: a barrier of one never blocks.
bool expects_others(LockFamily family) {
  return family == LockFamily::kBarrier || family == LockFamily::kGompBarrier ||
         family == LockFamily::kJoin || family == LockFamily::kOnce ||
         family == LockFamily::kRustOnce || family == LockFamily::kStaticGuard;
}

/// Threads of std::thread start in the C++ library, whatever they are there for.
bool is_library_start(const Frame& start) {
  const std::string name = base_name(start.module);
  return is_standard_library(start) || name.starts_with("libstdc++.so") ||
         name.starts_with("libc++.so");
}

class Judge {
 public:
  Judge(const Evidence& evidence, const DataNamer& name)
      : evidence_(evidence),
        process_(evidence.process),
        name_(name),
        views_(view_threads(evidence)),
        lost_(lost_threads(evidence)) {}

  Diagnosis judge() {
    describe();
    decide();
    say();
    return std::move(result_);
  }

 private:
  bool forked() const { return process_.forked.value_or(false); }

  bool left_behind() const { return !lost_.empty() || !evidence_.remembered_threads.empty(); }

  bool others_may_wake() const {
    return !process_.from_core && (!process_.shares_memory || process_.io_uring);
  }

  void describe() {
    result_.pid = process_.pid;
    result_.program = program_name(process_);
    result_.command = process_.command;
    result_.missing = process_.missing;
    result_.parent = process_.parent;
    result_.from_core = process_.from_core;
    if (evidence_.now > process_.start)
      result_.age_seconds = double(evidence_.now - process_.start) /
                            double(evidence_.clock_ticks_per_second);
    result_.forked = process_.forked;
    if (!evidence_.ancestors.empty()) result_.forked_by = evidence_.ancestors.front().pid;
    for (const ThreadView& view : views_) result_.threads.push_back(thread_diagnosis(view, name_));
    for (const ThreadEvidence* thread : lost_) result_.lost.push_back(lost_report(*thread));
  }

  void decide() {
    if (process_.ended) return answer(Answer::kEnded);
    if (process_.kernel_thread) return answer(Answer::kWaiting);
    if (process_.abi == Abi::k32Bit) return answer(Answer::kUnknown);
    const bool stopped = std::any_of(views_.begin(), views_.end(), [](const ThreadView& view) {
      return view.wait.kind == WaitKind::kStopped;
    });
    if (stopped) return answer(Answer::kWaiting);
    const bool blind =
        !views_.empty() && std::all_of(views_.begin(), views_.end(), [](const ThreadView& view) {
          return view.wait.kind == WaitKind::kUnknown;
        });
    result_.readable = !blind;
    if (blind || views_.empty()) return answer(Answer::kUnknown);

    closed_ = process_.all_threads && process_.shares_memory != true &&
              std::all_of(views_.begin(), views_.end(),
                          [](const ThreadView& view) { return view.ended() || view.closed(); });
    const bool copied = forked() && process_.shares_memory != true;
    if (copied && judge_absent_owner()) return;
    if (closed_) return judge_closed();
    if (copied && judge_missing_role()) return;
    if (copied && judge_unknown_holder()) return;
    const bool runs = std::any_of(views_.begin(), views_.end(), [](const ThreadView& view) {
      return view.wait.kind == WaitKind::kRunning;
    });
    answer(runs ? Answer::kRunning : Answer::kWaiting);
  }

  /// The first process of a PID namespace counts anew: there the numbers alone do not tell threads
  /// of its own from those of before.
  bool remembers(std::int32_t own_tid) const {
    return std::any_of(evidence_.remembered_threads.begin(), evidence_.remembered_threads.end(),
                       [&](const RememberedThread& thread) { return thread.own_tid == own_tid; });
  }

  /// A lock whose holder is a thread that is not here. Nobody but the holder may release it.
  bool judge_absent_owner() {
    for (const ThreadView& view : views_) {
      if (!view.closed() || !view.owner_absent() || !is_owned(view.family)) continue;
      if (view.owner.where == Where::kItself && view.owner.pid == process_.pid) continue;
      // A thread of this process that ended with the lock in its hands is no matter of the fork.
      if (view.owner.where == Where::kGone && view.lock.owner > process_.own_pid &&
          !remembers(view.lock.owner)) {
        continue;
      }
      culprit_ = &view;
      kind_ = view.family == LockFamily::kLibcLock    ? record::Kind::kLibcLock
              : view.owner.where == Where::kItself ? record::Kind::kSelfHeldLock
                                                   : record::Kind::kOrphanedLock;
      evidence_word_ = "owner-word";
      // Nothing but its number says that the owner is one that was not copied: ids are used again.
      if (view.owner.where == Where::kGone && !left_behind())
        return answer(Answer::kProbable), true;
      // Threads of the child's own could release a lock they do not hold (glibc does not check), so
      // with them about, the wait must have lasted.
      const bool sure = (closed_ || evidence_.lasted) && !others_may_wake();
      answer(sure ? Answer::kDeadlock : Answer::kProbable);
      return true;
    }
    return false;
  }

  /// A lock that a thread took before the fork, and nothing tells any more whether that is the thread
  /// that forked and lives on as the first one here.
  bool judge_unknown_holder() {
    for (const ThreadView& view : views_) {
      if (!view.closed() || !is_owned(view.family) || view.owner.where != Where::kUnknown ||
          view.lock.owner == 0) {
        continue;
      }
      culprit_ = &view;
      answer(Answer::kUnknown);
      return true;
    }
    return false;
  }

  /// Every thread sleeps until another one of them wakes it.
  void judge_closed() {
    // Of several the first thread is the one that came out of the fork.
    const ThreadView& first = views_.front();
    culprit_ = &first;
    evidence_word_ = "nobody-left";
    for (const ThreadView& view : views_)
      if (culprit_->ended() || (view.owner.where == Where::kUnknown &&
                                view.family == LockFamily::kLibcLock)) {
        culprit_ = &view;
      }
    // Whoever waits for a thread here waits for what that one waits for.
    bool cycle = false;
    for (std::size_t steps = 0; const ThreadView* owner = owner_here(*culprit_); ++steps) {
      cycle = owner == culprit_ || steps > views_.size();
      if (cycle) break;
      culprit_ = owner;
    }
    // A handler may post, signal, jump out of the wait or end the process. A lock that nobody here
    // holds stays locked whatever it does.
    signal_handlers_ = may_have_handlers(process_) && !is_owned(culprit_->family) &&
                       !handlers_only_make_notes(process_, *culprit_);
    if (signal_handlers_ && (!forked() || cycle || !left_behind()))
      return answer(Answer::kWaiting);
    if (!forked() || cycle) return answer(Answer::kStuck);
    // Only what a fork leaves behind explains the wait if threads were left behind.
    if (!left_behind())
      return answer((evidence_.parent_gone || evidence_.parent_unreadable) &&
                            !evidence_.memory_knows_threads
                        ? Answer::kUnknown
                        : Answer::kStuck);
    const bool event = !is_owned(culprit_->family);
    const bool explained = explained_by_lost(*culprit_);
    unknown_to_lost_ = event && !explained;
    if (signal_handlers_ && !process_.from_core && (!explained || (culprit_->family == LockFamily::kSemaphore && !has_python(process_))))
      return answer(Answer::kUnknown);
    kind_ = kind_of_unowned(*culprit_);
    if (signal_handlers_ || (event && !explained) || others_may_wake())
      return answer(Answer::kProbable);
    if (process_.threads.size() > 1 && !explained) return answer(Answer::kProbable);
    answer(Answer::kDeadlock);
  }

  /// The view of the thread here that must act first; null when it is not one of this process.
  const ThreadView* owner_here(const ThreadView& view) const {
    const bool here = view.owner.where == Where::kHere ||
                      (view.owner.where == Where::kItself && view.owner.pid == process_.pid);
    if (!here) return nullptr;
    auto at = std::find_if(views_.begin(), views_.end(), [&](const ThreadView& other) {
      return other.thread->tid == view.owner.tid;
    });
    return at != views_.end() ? &*at : nullptr;
  }

  static record::Kind kind_of_unowned(const ThreadView& view) {
    if (view.family == LockFamily::kLibcLock) return record::Kind::kLibcLock;
    return is_owned(view.family) || waits_for_parking_lot_lock(view) ? record::Kind::kOrphanedLock
                                                                     : record::Kind::kLostThread;
  }

  /// Whether threads that were not copied run the code that waits here. A library's threads are its
  /// own business; of code that anybody may use to wait, a thread must be seen to know of the wait.
  bool explained_by_lost(const ThreadView& view) const {
    const Frame* frame = innermost_program_frame(view.thread->stack);
    if (frame == nullptr) return false;
    if (!is_owned(view.family) && !expects_others(view.family) &&
        may_park(view.thread->stack, process_.exe) && !is_known_to_lost(view))
      return false;
    return std::any_of(lost_.begin(), lost_.end(),
                       [&](const ThreadEvidence* thread) {
                         return runs_code_of(*thread, frame->module);
                       }) ||
           std::any_of(evidence_.remembered_threads.begin(), evidence_.remembered_threads.end(),
                       [&](const RememberedThread& thread) {
                         return thread.start_routine &&
                                (thread.start_routine->module == frame->module ||
                                 is_library_start(*thread.start_routine));
                       });
  }

  bool is_known_to_lost(const ThreadView& view) const {
    return std::any_of(evidence_.wait_links.begin(), evidence_.wait_links.end(),
                       [&](const WaitLink& link) { return link.waiter == view.thread->tid; });
  }

  /// The first thread waits in a part of the program whose threads were not copied, and no thread
  /// here runs that part's code. Other threads live, so this is no proof.
  bool judge_missing_role() {
    const ThreadView& view = views_.front();
    if (!view.closed() || view.lock.owner != 0 || !evidence_.lasted) return false;
    if (may_have_handlers(process_) && view.family == LockFamily::kSemaphore) return false;
    const auto component = waiting_component(view.thread->stack);
    if (!component || !may_miss_threads(*component, process_.exe)) return false;
    for (const ThreadView& other : views_) {
      if (&other == &view || other.ended()) continue;
      // Whoever is at work, or whose stack is not known, may be about to end the wait.
      const ThreadEvidence& thread = *other.thread;
      if (!thread.settled || !thread.stack_complete || runs(thread.stack, *component)) return false;
      // libc's own helpers (aio_read, timers with SIGEV_THREAD) call whoever asked them to.
      if (!waiting_component(thread.stack)) return false;
    }
    for (const ThreadEvidence* thread : lost_)
      if (outermost_component(thread->stack) == component) missed_.push_back(thread);
    if (missed_.empty()) return false;
    culprit_ = &view;
    kind_ = kind_of_unowned(view);
    evidence_word_ = "role-gone";
    answer(Answer::kProbable);
    return true;
  }

  void answer(Answer answer) { result_.answer = answer; }

  void say() {
    // Those whose code waits here come first: they are the ones a reader looks for.
    if (culprit_ != nullptr) {
      if (const Frame* frame = innermost_program_frame(culprit_->thread->stack)) {
        std::stable_partition(lost_.begin(), lost_.end(), [&](const ThreadEvidence* thread) {
          return runs_code_of(*thread, frame->module);
        });
        result_.lost.clear();
        for (const ThreadEvidence* thread : lost_) result_.lost.push_back(lost_report(*thread));
      }
    }
    OutsideFacts facts{evidence_, views_,         lost_,   missed_,          culprit_,
                       kind_,     evidence_word_, closed_, signal_handlers_, unknown_to_lost_};
    result_.sentence = outside_sentence(result_, facts);
    result_.reasons = outside_reasons(result_, facts);
    if (result_.answer == Answer::kDeadlock || result_.answer == Answer::kProbable)
      result_.finding = outside_finding(result_, facts);
    if (result_.finding) result_.finding->fingerprint = fingerprint_of(*result_.finding);
  }

  const Evidence& evidence_;
  const ProcessEvidence& process_;
  const DataNamer& name_;
  const std::vector<ThreadView> views_;
  std::vector<const ThreadEvidence*> lost_;
  std::vector<const ThreadEvidence*> missed_;
  const ThreadView* culprit_ = nullptr;
  record::Kind kind_ = record::Kind::kLostThread;
  std::string evidence_word_;
  bool closed_ = false;
  bool unknown_to_lost_ = false;
  bool signal_handlers_ = false;  ///< a handler of the program's own might end the wait
  Diagnosis result_;
};

}  // namespace

Diagnosis diagnose(const Evidence& evidence, const DataNamer& name) {
  return Judge(evidence, name).judge();
}

}  // namespace forkscope
