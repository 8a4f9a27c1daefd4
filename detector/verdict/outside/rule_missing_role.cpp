// Parts of a program whose threads were not copied, in a process that has other threads.
#include <algorithm>

#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

constexpr std::size_t kFutureFrames = 4;  ///< innermost Python frames in which a future is waited for

bool ends_in(const PythonFrame& frame, std::string_view file) {
  return frame.file.ends_with(file);
}

bool waits_for_future(const ThreadEvidence& thread) {
  const auto& frames = thread.python;
  const auto end = frames.begin() + std::ptrdiff_t(std::min(frames.size(), kFutureFrames));
  return std::any_of(frames.begin(), end, [](const PythonFrame& frame) {
    return ends_in(frame, "/concurrent/futures/_base.py");
  });
}

/// Executors' workers, and event loops that coroutines are sent to from other threads.
bool completes_futures(const ThreadEvidence& thread) {
  return std::any_of(
      thread.python.begin(), thread.python.end(), [](const PythonFrame& frame) {
        return ends_in(frame, "/concurrent/futures/thread.py") ||
               ends_in(frame, "/concurrent/futures/process.py") ||
               (ends_in(frame, "/asyncio/base_events.py") && frame.function.ends_with("run_forever"));
      });
}

/// Whether it is known that the thread runs no Python, and sleeps.
bool is_asleep_without_python(const ThreadEvidence& thread) {
  return thread.settled && thread.stack_complete && thread.python.empty() &&
         std::none_of(thread.stack.begin(), thread.stack.end(),
                      [](const Frame& frame) { return is_python_module(frame.module); });
}

/// A thread waits for a Python future, the threads that completed futures were not copied, and no
/// other thread here runs Python.
std::optional<Ruling> missing_executor(const Scene& scene) {
  const auto view = std::find_if(
      scene.views.begin(), scene.views.end(), [](const ThreadView& candidate) {
        return candidate.closed() && waits_for_future(*candidate.thread);
      });
  if (view == scene.views.end()) return std::nullopt;
  for (const ThreadView& other : scene.views)
    if (&other != &*view && !other.ended() && !is_asleep_without_python(*other.thread))
      return std::nullopt;
  Ruling ruling;
  for (const ThreadEvidence* thread : scene.lost)
    if (completes_futures(*thread)) ruling.missed.push_back(thread);
  if (ruling.missed.empty()) return std::nullopt;
  ruling.culprit = &*view;
  ruling.kind = record::Kind::kLostThread;
  ruling.ground = Ground::kRoleGone;
  ruling.answer = Answer::kProbable;
  return ruling;
}

}  // namespace

std::optional<Ruling> missing_role(const Scene& scene) {
  if (!scene.copied || !scene.evidence.lasted) return std::nullopt;
  if (auto ruling = missing_executor(scene)) return ruling;
  const ProcessEvidence& process = scene.process;
  const ThreadView& view = scene.views.front();
  if (!view.closed() || view.lock.owner != 0) return std::nullopt;
  if (may_have_handlers(process) && view.family == LockFamily::kSemaphore) return std::nullopt;
  const auto component = waiting_component(view.thread->stack);
  if (!component || !may_miss_threads(*component, process.exe)) return std::nullopt;
  for (const ThreadView& other : scene.views) {
    if (&other == &view || other.ended()) continue;
    // Whoever is at work, or whose stack is not known, may be about to end the wait.
    const ThreadEvidence& thread = *other.thread;
    if (!thread.settled || !thread.stack_complete || runs(thread.stack, *component))
      return std::nullopt;
    // libc's own helpers (aio_read, timers with SIGEV_THREAD) call whoever asked them to.
    if (!waiting_component(thread.stack)) return std::nullopt;
  }
  Ruling ruling;
  for (const ThreadEvidence* thread : scene.lost)
    if (outermost_component(thread->stack) == component) ruling.missed.push_back(thread);
  if (ruling.missed.empty()) return std::nullopt;
  ruling.culprit = &view;
  ruling.kind = kind_of_unowned(view);
  ruling.ground = Ground::kRoleGone;
  ruling.answer = Answer::kProbable;
  return ruling;
}

}  // namespace forkscope::rules
