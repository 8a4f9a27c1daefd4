// Of a core file: threads that wait for a limited time, nap, or spin. A core file shows one instant,
// so that they do so again and again is not seen. What can be known all the same: which function it
// is that waits, what the code of its loop does, and that nobody is left here who could end it.
#include <algorithm>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/pauses.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

using Where = LockOwner::Where;
using record::Kind;

bool waits_timed(const ThreadView& view) {
  return view.wait.futex && view.wait.futex->timed && view.wait.futex->is_private;
}

bool pauses(const ThreadView& view) {
  return view.wait.kind == WaitKind::kTime || view.wait.kind == WaitKind::kRunning ||
         waits_timed(view);
}

/// The others sleep until another thread wakes them, and none is of the part that waits here.
bool is_alone(const Scene& scene, const ThreadView& view) {
  const auto component = waiting_component(view.thread->stack);
  return std::all_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
    if (&other == &view || other.ended()) return true;
    return other.closed() && !(component && component->module != scene.process.exe &&
                               runs_code_of(*other.thread, component->module));
  });
}

bool began_in(const Scene& scene, const std::string& module) {
  const auto& threads = scene.evidence.remembered_threads;
  return std::any_of(threads.begin(), threads.end(), [&](const RememberedThread& thread) {
    return thread.start_routine && thread.start_routine->module == module;
  });
}

/// A lock by the functions that wait for it, or by its words.
bool waits_for_known_lock(const ThreadView& view) {
  if (waits_timed(view)) return view.must_be_released();
  return known_wait(view.thread->stack, view.thread->python, false).purpose == Purpose::kLock;
}

struct Judged {
  Answer answer = Answer::kUnknown;
  Kind kind = Kind::kLostThread;
};

bool is_of(const PythonFrame& frame, std::string_view file) { return base_name(frame.file) == file; }

/// queue.Queue and its kin hold threads together, and nothing else: who waits for an item has nobody
/// left to put one. An Event or a Condition with a limit is how programs sleep, too.
std::optional<Judged> judge_python(const ThreadView& view) {
  if (!waits_timed(view)) return std::nullopt;
  const std::vector<PythonFrame>& frames = view.thread->python;
  if (view.known.purpose == Purpose::kTaken && view.known.certain)
    return Judged{Answer::kProbable, Kind::kOrphanedLock};
  const bool queue = frames.size() > 1 && is_of(frames[0], "threading.py") &&
                     is_of(frames[1], "queue.py");
  if (queue || view.known.type == "Python queue")
    return Judged{Answer::kProbable, Kind::kLostThread};
  return Judged{};
}

std::optional<Judged> judge_library(const Scene& scene, const ThreadView& view,
                                    const Component& library, const WaitingLoop* loop) {
  const bool lost = began_in(scene, library.module);
  const Kind kind = lost ? kind_of_unowned(view) : Kind::kOrphanedLock;
  if (waits_timed(view) && lost) return Judged{Answer::kProbable, kind};
  // A library's loop whose threads are gone waits for those, wherever it looks.
  if (loop != nullptr && (lost || (!loop->only_pause && !may_look_at_shared(scene, *loop))))
    return Judged{Answer::kProbable, kind};
  if (waits_timed(view) || loop != nullptr || (lost && view.wait.kind == WaitKind::kTime))
    return Judged{};
  return std::nullopt;
}

std::optional<Judged> judge(const Scene& scene, const ThreadView& view) {
  if (is_python_wait(view)) return judge_python(view);
  if (waits_for_known_lock(view)) return Judged{Answer::kProbable, Kind::kOrphanedLock};
  const WaitingLoop* loop = waiting_loop_of(scene.evidence, view);
  const bool lock = names_lock(view.thread->stack);
  // Locks of files and of other machines are asked for in such loops, too: by calls.
  if (loop != nullptr && lock && !may_look_at_shared(scene, *loop))
    return Judged{Answer::kProbable, Kind::kOrphanedLock};
  if (loop != nullptr && loop->known_to_lost && !may_look_at_shared(scene, *loop))
    return Judged{Answer::kProbable, Kind::kLostThread};
  if (const auto library = library_of(scene, view))
    return judge_library(scene, view, *library, loop);
  const bool nap = view.wait.kind == WaitKind::kTime;
  if (loop != nullptr || waits_timed(view) || (nap && lock)) return Judged{};
  return std::nullopt;
}

}  // namespace

std::optional<Ruling> one_instant(const Scene& scene) {
  if (!scene.process.from_core || !scene.copied || !scene.left_behind() ||
      !scene.process.all_threads || scene.process.io_uring) {
    return std::nullopt;
  }
  for (const ThreadView& view : scene.views) {
    if (!pauses(view) || view.owner.where == Where::kHere || !is_alone(scene, view)) continue;
    const auto judged = judge(scene, view);
    if (!judged) continue;
    Ruling ruling;
    ruling.culprit = &view;
    ruling.answer = judged->answer;
    ruling.kind = judged->kind;
    if (judged->kind == Kind::kOrphanedLock && view.owner.where == Where::kItself)
      ruling.kind = view.lock.compares_owner ? Kind::kStaleOwner : Kind::kSelfHeldLock;
    ruling.ground = Ground::kInstant;
    ruling.unclear = Unclear::kOneInstant;
    return ruling;
  }
  return std::nullopt;
}

}  // namespace forkscope::rules
