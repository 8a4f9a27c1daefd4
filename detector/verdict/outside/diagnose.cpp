// The rules. docs/how-it-works.md gives the reasons.
#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "detector/verdict/outside/diagnosis.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/outside/thread_view.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using Where = LockOwner::Where;

/// Signals whose handlers, as everybody installs them, only end the program or note the wish
/// (SIGINT), or are libc's own (32 and 33: cancellation and setuid).
constexpr std::uint64_t kHarmlessHandlers =
    (std::uint64_t{1} << (2 - 1)) | (std::uint64_t{1} << (32 - 1)) | (std::uint64_t{1} << (33 - 1));

bool may_be_woken_by_handler(const ProcessEvidence& process) {
  return (process.caught_signals & ~kHarmlessHandlers) != 0;
}

/// Whether a living thread of the process runs the same code as one that was not copied.
bool has_successor(const ThreadEvidence& lost, const ProcessEvidence& process) {
  return std::any_of(process.threads.begin() + 1, process.threads.end(),
                     [&](const ThreadEvidence& thread) {
                       if (name_stem(thread.name) != name_stem(lost.name)) return false;
                       return !thread.start_routine || !lost.start_routine ||
                              thread.start_routine->address == lost.start_routine->address ||
                              thread.start_routine->function == lost.start_routine->function;
                     });
}

bool runs_code_of(const ThreadEvidence& thread, const std::string& module) {
  if (thread.start_routine && thread.start_routine->module == module) return true;
  return std::any_of(thread.stack.begin(), thread.stack.end(),
                     [&](const Frame& frame) { return frame.module == module; });
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

  void describe() {
    result_.pid = process_.pid;
    result_.program = program_name(process_);
    result_.command = process_.command;
    result_.missing = process_.missing;
    result_.parent = process_.parent;
    if (evidence_.now > process_.start)
      result_.age_seconds = double(evidence_.now - process_.start) /
                            double(evidence_.clock_ticks_per_second);
    result_.forked = process_.forked;
    if (!evidence_.ancestors.empty()) result_.forked_by = evidence_.ancestors.front().pid;
    for (const ThreadView& view : views_) result_.threads.push_back(thread_diagnosis(view, name_));
    for (const ThreadEvidence* thread : lost_) result_.lost.push_back(lost_report(*thread));
  }

  void decide() {
    if (process_.state == 'Z' || process_.state == 'X') return answer(Answer::kEnded);
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
    if (blind || views_.empty()) return answer(Answer::kUnknown);

    closed_ = process_.all_threads && !process_.shares_memory &&
              std::all_of(views_.begin(), views_.end(),
                          [](const ThreadView& view) { return view.closed(); });
    if (forked() && judge_absent_owner()) return;
    if (closed_) return judge_closed();
    if (forked() && judge_missing_role()) return;
    const bool runs = std::any_of(views_.begin(), views_.end(), [](const ThreadView& view) {
      return view.wait.kind == WaitKind::kRunning;
    });
    answer(runs ? Answer::kRunning : Answer::kWaiting);
  }

  /// A lock whose holder is a thread that is not here. Nobody but the holder may release it.
  bool judge_absent_owner() {
    for (const ThreadView& view : views_) {
      if (!view.closed() || !view.owner_absent() || !is_owned(view.family)) continue;
      if (view.owner.where == Where::kItself && view.owner.pid == process_.pid) continue;
      if (view.lock.process_shared) continue;
      // A thread of this process that ended with the lock in its hands is no matter of the fork.
      if (view.owner.where == Where::kGone && view.lock.owner > process_.own_pid) continue;
      culprit_ = &view;
      kind_ = view.owner.where == Where::kItself ? record::Kind::kSelfHeldLock
                                                 : record::Kind::kOrphanedLock;
      evidence_word_ = "owner-word";
      // Threads of the child's own could release a lock they do not hold (glibc does not check), so
      // with them about, the wait must have lasted.
      answer(closed_ || process_.threads.size() == 1 || evidence_.lasted ? Answer::kDeadlock
                                                                        : Answer::kProbable);
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
      if (view.owner.where == Where::kUnknown && view.family == LockFamily::kLibcLock)
        culprit_ = &view;
    const bool cycle = std::all_of(views_.begin(), views_.end(), [](const ThreadView& view) {
      return view.owner.where == Where::kHere ||
             (view.owner.where == Where::kItself);
    });
    if (!forked() || cycle) return answer(Answer::kStuck);
    // Only what a fork leaves behind explains the wait if threads were left behind.
    if (lost_.empty() && evidence_.remembered_threads.empty())
      return answer(evidence_.parent_gone ? Answer::kProbable : Answer::kStuck);
    kind_ = kind_of_unowned(culprit_->family);
    if (may_be_woken_by_handler(process_) && !is_owned(culprit_->family))
      return answer(Answer::kProbable);
    if (process_.threads.size() > 1 && !explained_by_lost(*culprit_))
      return answer(Answer::kProbable);
    answer(Answer::kDeadlock);
  }

  static record::Kind kind_of_unowned(LockFamily family) {
    if (family == LockFamily::kLibcLock) return record::Kind::kLibcLock;
    return is_owned(family) ? record::Kind::kOrphanedLock : record::Kind::kLostThread;
  }

  /// Whether threads that were not copied run the code that waits here.
  bool explained_by_lost(const ThreadView& view) const {
    const Frame* frame = innermost_program_frame(view.thread->stack);
    if (frame == nullptr) return false;
    return std::any_of(lost_.begin(), lost_.end(), [&](const ThreadEvidence* thread) {
      return runs_code_of(*thread, frame->module);
    });
  }

  /// The first thread waits for an event, in a module whose threads were not copied, and nobody
  /// here does what they did. Other threads live, so this is no proof.
  bool judge_missing_role() {
    const ThreadView& view = views_.front();
    if (!view.closed() || view.lock.owner != 0 || !evidence_.lasted) return false;
    const Frame* frame = innermost_program_frame(view.thread->stack);
    if (frame == nullptr) return false;
    for (const ThreadEvidence* thread : lost_) {
      if (!runs_code_of(*thread, frame->module) || has_successor(*thread, process_)) continue;
      missed_.push_back(thread);
    }
    const bool somebody_works =
        std::any_of(views_.begin(), views_.end(), [](const ThreadView& other) {
          return other.wait.kind == WaitKind::kRunning || !other.thread->settled;
        });
    if (missed_.empty() || somebody_works) return false;
    culprit_ = &view;
    kind_ = kind_of_unowned(view.family);
    evidence_word_ = "role-gone";
    answer(Answer::kProbable);
    return true;
  }

  void answer(Answer answer) { result_.answer = answer; }

  void say() {
    OutsideFacts facts{evidence_, views_,  lost_,   missed_, culprit_, kind_,
                       evidence_word_, closed_, may_be_woken_by_handler(process_)};
    result_.sentence = outside_sentence(result_, facts);
    result_.reasons = outside_reasons(result_, facts);
    if (result_.answer == Answer::kDeadlock || result_.answer == Answer::kProbable)
      result_.finding = outside_finding(result_, facts);
  }

  const Evidence& evidence_;
  const ProcessEvidence& process_;
  const DataNamer& name_;
  const std::vector<ThreadView> views_;
  const std::vector<const ThreadEvidence*> lost_;
  std::vector<const ThreadEvidence*> missed_;
  const ThreadView* culprit_ = nullptr;
  record::Kind kind_ = record::Kind::kLostThread;
  std::string evidence_word_;
  bool closed_ = false;
  Diagnosis result_;
};

}  // namespace

Diagnosis diagnose(const Evidence& evidence, const DataNamer& name) {
  return Judge(evidence, name).judge();
}

}  // namespace forkscope
