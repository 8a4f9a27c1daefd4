// Parts of a program whose threads were not copied, in a process that has other threads.
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {

std::optional<Ruling> missing_role(const Scene& scene) {
  if (!scene.copied || !scene.evidence.lasted) return std::nullopt;
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
