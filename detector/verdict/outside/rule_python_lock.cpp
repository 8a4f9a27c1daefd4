// Python's locks, beside threads that are alive. Anybody may release such a lock, so that no owner is
// known; but who has it is in the code that took it, most often. What is asked for: the wait has
// lasted; a thread that was not copied is in a `with` of this lock, or in the function that waits for
// it here; every other thread here sleeps, is in no `with` of the lock, and its code neither calls what
// takes this one nor acquires any, nor uses a lock by the name that the waiting code uses.
#include <algorithm>
#include <cctype>
#include <span>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

bool is_import_machinery(const PythonFrame& frame) {
  return frame.file.starts_with("<frozen importlib.");
}

bool passes_on(const PythonFrame& frame) {
  const std::string file = base_name(frame.file);
  return file == "threading.py" || file == "contextlib.py" || is_import_machinery(frame);
}

/// The frames that take the lock, innermost first: up to the first one of the program, and what that
/// is called by through a context manager.
std::span<const PythonFrame> taking_frames(const std::vector<PythonFrame>& frames) {
  std::size_t count = 0;
  while (count < frames.size()) {
    const bool more = passes_on(frames[count]) ||
                      (count + 1 < frames.size() && base_name(frames[count + 1].file) == "contextlib.py");
    ++count;
    if (!more) break;
  }
  return std::span(frames).first(count);
}

bool same_function(const PythonFrame& a, const PythonFrame& b) {
  return a.file == b.file && a.function == b.function;
}

bool has_lock(const PythonFrame& frame, std::uint64_t word) {
  return std::find(frame.locks.begin(), frame.locks.end(), word) != frame.locks.end();
}

bool uses(const PythonFrame& frame, std::string_view name) {
  return std::find(frame.names.begin(), frame.names.end(), name) != frame.names.end();
}

std::string_view last_part(std::string_view qualified) {
  return qualified.substr(qualified.find_last_of('.') + 1);
}

bool names_lock(std::string name) {
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  constexpr std::string_view kParts[] = {"lock", "mutex", "sem", "cond", "guard"};
  return std::any_of(std::begin(kParts), std::end(kParts), [&](std::string_view part) {
    return name.find(part) != std::string::npos;
  });
}

/// Whether code of `other` may have led to where the lock is taken. Who took it by `with` has it on
/// its stack; who did otherwise acquired it, or called what does.
bool may_lead_to(const PythonFrame& other, const PythonFrame& taking) {
  if (is_import_machinery(taking)) return is_import_machinery(other);
  if (same_function(other, taking) || uses(other, last_part(taking.function))) return true;
  return std::any_of(taking.names.begin(), taking.names.end(), [&](const std::string& name) {
    return names_lock(name) && uses(other, name);
  });
}

bool acquires(const PythonFrame& frame) {
  return uses(frame, "acquire") || uses(frame, "enter_context") || uses(frame, "__enter__");
}

/// It waits for a lock of the threading module: the code has it in hand. C code of the interpreter's
/// library (queue.SimpleQueue) waits for events by the same functions.
bool is_python_lock(const ThreadView& view) {
  const std::vector<PythonFrame>& frames = view.thread->python;
  return view.closed() && view.known.purpose == Purpose::kTaken && view.known.certain &&
         !frames.empty() && has_lock(frames.front(), view.wait.futex->address);
}

/// A lost thread that has the lock, for all that its code shows.
const ThreadEvidence* lost_holder(const Scene& scene, const ThreadView& view) {
  const auto taking = taking_frames(view.thread->python);
  const std::uint64_t word = view.wait.futex->address;
  for (const ThreadEvidence* thread : scene.lost) {
    const Wait wait = wait_of(*thread, scene.process.abi);
    if (wait.futex && wait.futex->address == word) continue;  // it waits for it as well
    const bool inside = std::any_of(
        thread->python.begin(), thread->python.end(), [&](const PythonFrame& frame) {
          return has_lock(frame, word) ||
                 std::any_of(taking.begin(), taking.end(), [&](const PythonFrame& other) {
                   return base_name(other.file) != "threading.py" && same_function(frame, other);
                 });
        });
    if (inside) return thread;
  }
  return nullptr;
}

/// The frames in which the thread has done anything since the fork: of the one that came out of it
/// none further out than what called fork().
std::span<const PythonFrame> frames_since_fork(const Scene& scene, const ThreadView& view) {
  const std::span<const PythonFrame> frames = view.thread->python;
  if (&view != &scene.views.front()) return frames;
  const auto forks = std::find_if(frames.begin(), frames.end(),
                                  [](const PythonFrame& frame) { return frame.may_fork; });
  return forks != frames.end() ? frames.first(std::size_t(forks - frames.begin()) + 1) : frames;
}

bool may_hold(const Scene& scene, const ThreadView& other, const ThreadView& view) {
  const ThreadEvidence& thread = *other.thread;
  if (other.ended()) return false;
  const bool waits_too = other.wait.futex && other.wait.futex->address == view.wait.futex->address;
  if (waits_too) return false;
  if (!thread.settled || !thread.call || other.wait.kind == WaitKind::kUnknown) return true;
  if (thread.python.empty())
    return !thread.stack_complete ||
           std::any_of(thread.stack.begin(), thread.stack.end(),
                       [](const Frame& frame) { return is_python_module(frame.module); });
  const auto taking = taking_frames(view.thread->python);
  const auto frames = frames_since_fork(scene, other);
  return std::any_of(frames.begin(), frames.end(), [&](const PythonFrame& frame) {
    return has_lock(frame, view.wait.futex->address) || (acquires(frame) && !passes_on(frame)) ||
           std::any_of(taking.begin(), taking.end(), [&](const PythonFrame& other_frame) {
             return may_lead_to(frame, other_frame);
           });
  });
}

}  // namespace

std::optional<Ruling> inherited_python_lock(const Scene& scene) {
  if (!scene.copied || !scene.evidence.lasted || !scene.process.all_threads) return std::nullopt;
  for (const ThreadView& view : scene.views) {
    if (!is_python_lock(view)) continue;
    const ThreadEvidence* holder = lost_holder(scene, view);
    const bool held_here =
        std::any_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
          return &other != &view && may_hold(scene, other, view);
        });
    if (holder == nullptr || held_here) continue;
    Ruling ruling;
    ruling.culprit = &view;
    ruling.kind = record::Kind::kOrphanedLock;
    ruling.ground = Ground::kNobodyHolds;
    ruling.answer = Answer::kProbable;
    return ruling;
  }
  return std::nullopt;
}

}  // namespace forkscope::rules
