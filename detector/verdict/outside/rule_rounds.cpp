// Waits with a time limit that begin again and again, and naps between looks at a lock. That a round
// ends proves nothing; that nothing comes of any of them, and nobody is left to change that, speaks
// for a wait without end.
#include <algorithm>
#include <string_view>

#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/pauses.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

constexpr std::uint64_t kLeastTurns = 3, kLeastNaps = 20;
constexpr std::uint64_t kLeastMilliseconds = 1900;
/// Processor time of a turn that only looks at a word. Python's take a tenth of the second.
constexpr std::uint64_t kMostPerTurn = 200'000, kMostPerPythonTurn = 1'000'000;

const Rounds* rounds_of(const Scene& scene, const ThreadView& view) {
  const auto& all = scene.evidence.rounds;
  const auto at = std::find_if(all.begin(), all.end(), [&](const Rounds& rounds) {
    return rounds.tid == view.thread->tid;
  });
  return at != all.end() ? &*at : nullptr;
}

/// It was nowhere else, and did nothing in between.
bool only_goes_round(const ThreadView& view, const Rounds& rounds) {
  const bool nap = view.wait.kind == WaitKind::kTime;
  const bool timed = view.wait.futex && view.wait.futex->timed;
  const bool python = is_python_wait(view);
  if ((!nap && !timed) || rounds.elsewhere != 0 || rounds.awake * 4 > rounds.asleep) return false;
  if (rounds.turns < (nap ? kLeastNaps : kLeastTurns)) return false;
  // CPython makes a lock for each wait of a condition, wherever there is room.
  if (timed && !python && !rounds.same_word) return false;
  if (timed && view.reach == Reach::kOutside) return false;
  return rounds.ran_ns / rounds.turns <= (python ? kMostPerPythonTurn : kMostPerTurn);
}

bool is_waiting_file(const std::string& file) {
  const std::string name = base_name(file);
  return name == "threading.py" || name == "queue.py" || file.starts_with("<");
}

/// Event.wait() with a limit is how programs sleep that may be told to stop.
bool waits_for_python_event(const ThreadView& view) {
  const std::vector<PythonFrame>& frames = view.thread->python;
  return frames.size() > 1 && is_waiting_file(frames[0].file) && is_waiting_file(frames[1].file) &&
         frames[0].function.ends_with("wait") && frames[1].function.ends_with("wait");
}

/// A lost thread ran functions of the same file as those that wait, outside of the standard
/// library's own for that.
bool shares_python(const Scene& scene, const ThreadView& view) {
  const std::vector<PythonFrame>& frames = view.thread->python;
  return std::any_of(frames.begin(), frames.end(), [&](const PythonFrame& frame) {
    return !is_waiting_file(frame.file) &&
           std::any_of(scene.lost.begin(), scene.lost.end(), [&](const ThreadEvidence* thread) {
             return std::any_of(
                 thread->python.begin(), thread->python.end(),
                 [&](const PythonFrame& other) { return other.file == frame.file; });
           });
  });
}

/// Nobody else here could end it: the others sleep until another thread wakes them, or go round as
/// well. One that sleeps for a time or waits for something outside may end it when it goes on.
bool nobody_else(const Scene& scene, const ThreadView& view) {
  return std::all_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
    if (&other == &view || other.ended() || other.closed()) return true;
    const Rounds* rounds = rounds_of(scene, other);
    return rounds != nullptr && only_goes_round(other, *rounds);
  });
}

/// Handlers of the program's own that a library's loop does not ask.
bool handlers_may_end(const Scene& scene, const ThreadView& view) {
  if (!may_have_handlers(scene.process)) return false;
  if (is_python_wait(view)) return !has_only_interrupt_handler(scene.process);
  const auto component = waiting_component(view.thread->stack);
  return !component || !may_miss_threads(*component, scene.process.exe);
}

/// Why it is taken for a wait for a thread that was not copied.
std::optional<record::Kind> kind_of(const Scene& scene, const ThreadView& view) {
  if (is_python_wait(view)) {
    if (view.wait.kind == WaitKind::kTime || !shares_python(scene, view) ||
        waits_for_python_event(view)) {
      return std::nullopt;
    }
    return kind_of_unowned(view);
  }
  if (names_lock(view.thread->stack)) return record::Kind::kOrphanedLock;
  if (view.must_be_released()) return kind_of_unowned(view);
  const WaitingLoop* loop = waiting_loop_of(scene.evidence, view);
  if (loop != nullptr && loop->known_to_lost) return kind_of_unowned(view);
  if (!explained_by_lost(scene, view)) return std::nullopt;
  // A nap in the program's own code may be for anything.
  const auto component = waiting_component(view.thread->stack);
  if (view.wait.kind == WaitKind::kTime &&
      (!component || !may_miss_threads(*component, scene.process.exe)))
    return std::nullopt;
  return kind_of_unowned(view);
}

}  // namespace

std::optional<Ruling> endless_rounds(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  if (!scene.copied || !scene.left_behind() || !scene.process.all_threads ||
      scene.process.io_uring || evidence.rounds_ms < kLeastMilliseconds ||
      evidence.read_or_wrote || evidence.has_children) {
    return std::nullopt;
  }
  for (const ThreadView& view : scene.views) {
    const Rounds* rounds = rounds_of(scene, view);
    if (rounds == nullptr || !only_goes_round(view, *rounds)) continue;
    // What a nap looks at may lie where another process writes.
    if (view.wait.kind == WaitKind::kTime && has_shared_memory(scene.process)) continue;
    if (view.owner.where == LockOwner::Where::kHere || handlers_may_end(scene, view) ||
        !nobody_else(scene, view)) {
      continue;
    }
    const auto kind = kind_of(scene, view);
    Ruling ruling;
    ruling.culprit = &view;
    ruling.unclear = Unclear::kEvent;
    if (!kind && is_python_wait(view) && waits_for_python_event(view) && shares_python(scene, view))
      return ruling;
    if (!kind) continue;
    ruling.kind = *kind;
    ruling.ground = Ground::kRounds;
    ruling.answer = Answer::kProbable;
    return ruling;
  }
  return std::nullopt;
}

}  // namespace forkscope::rules
