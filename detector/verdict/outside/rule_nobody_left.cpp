// Closed processes: every thread waits for another one.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

using Where = LockOwner::Where;

struct Root {
  const ThreadView* view = nullptr;
  bool cycle = false;  ///< threads here wait for each other
};

/// The thread all others wait for. Of several the first is the one that came out of the fork.
Root root_of(const Scene& scene) {
  Root root{&scene.views.front()};
  for (const ThreadView& view : scene.views)
    if (root.view->ended() ||
        (view.owner.where == Where::kUnknown && view.family == LockFamily::kLibcLock)) {
      root.view = &view;
    }
  // Whoever waits for a thread here waits for what that one waits for.
  for (std::size_t steps = 0; const ThreadView* owner = scene.owner_here(*root.view); ++steps) {
    root.cycle = owner == root.view || steps > scene.views.size();
    if (root.cycle) break;
    root.view = owner;
  }
  return root;
}

}  // namespace

std::optional<Ruling> nobody_left(const Scene& scene) {
  if (!scene.closed) return std::nullopt;
  const Evidence& evidence = scene.evidence;
  const ProcessEvidence& process = scene.process;
  const auto [view, cycle] = root_of(scene);
  Ruling ruling;
  ruling.culprit = view;
  ruling.ground = Ground::kNobodyLeft;
  const auto with = [&](Answer answer) {
    ruling.answer = answer;
    return ruling;
  };
  // A handler may post, signal, jump out of the wait or end the process. A lock that nobody here
  // holds stays locked whatever it does.
  ruling.signal_handlers = may_have_handlers(process) && !view->must_be_released() &&
                           !handlers_only_make_notes(process, *view);
  // Only what a fork leaves behind explains the wait if threads were left behind. That none is seen
  // says nothing if the parent cannot be asked, and what libc remembers of them may be gone.
  const bool parent_silent = evidence.parent_gone || evidence.parent_unreadable;
  const bool memory_silent = !evidence.memory_knows_threads || evidence.stacks_reused;
  if (scene.forked && !cycle && !scene.left_behind() && parent_silent && memory_silent) {
    ruling.nobody_known = true;
    // A lock was taken by somebody. The thread that waits would have to have forgotten that it did.
    if (!view->must_be_released() || !view->lock.held) return with(Answer::kUnknown);
    ruling.kind = kind_of_unowned(*view);
    return with(Answer::kProbable);
  }
  if (ruling.signal_handlers && (!scene.forked || cycle || !scene.left_behind()))
    return with(process.caught_signals ? Answer::kWaiting : Answer::kUnknown);
  if (!scene.forked || cycle || !scene.left_behind()) return with(Answer::kStuck);
  const bool event = !view->must_be_released();
  const bool explained = explained_by_lost(scene, *view);
  ruling.unknown_to_lost = event && !explained;
  // POSIX lets a handler post a semaphore, and programs wait so for their signals.
  const bool handler_posts = view->family == LockFamily::kSemaphore && !has_python(process);
  if (ruling.signal_handlers && !process.from_core && (!explained || handler_posts))
    return with(Answer::kUnknown);
  ruling.kind = kind_of_unowned(*view);
  if (ruling.signal_handlers || ruling.unknown_to_lost || scene.others_may_wake())
    return with(Answer::kProbable);
  if (process.threads.size() > 1 && !explained) return with(Answer::kProbable);
  return with(Answer::kDeadlock);
}

}  // namespace forkscope::rules
