// Locks without an owner word, beside threads that are alive. What is asked for: the wait has lasted;
// a thread that was not copied is seen to know of the lock; of every other thread here the whole
// stack is known, and none of them is seen to know of the lock, from its stack, from what that leads
// to, or from the code it is in. Whoever holds a lock and is about to release it knows where it is.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

bool has_link(const std::vector<WaitLink>& links, const ThreadView& view) {
  return std::any_of(links.begin(), links.end(),
                     [&](const WaitLink& link) { return link.waiter == view.thread->tid; });
}

/// All that it may know of was looked at: it sleeps, and its stack was read to its end.
bool was_looked_at(const ThreadView& view) {
  if (view.ended()) return true;
  const bool sleeps = view.wait.kind == WaitKind::kFutex || view.wait.kind == WaitKind::kOutside ||
                      view.wait.kind == WaitKind::kTime;
  return sleeps && view.thread->call && view.thread->stack_complete;
}

}  // namespace

std::optional<Ruling> inherited_lock(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  if (!scene.copied || !scene.left_behind() || !evidence.lasted) return std::nullopt;
  if (!evidence.living_links || !scene.process.all_threads) return std::nullopt;
  const auto view = std::find_if(
      scene.views.begin(), scene.views.end(), [&](const ThreadView& candidate) {
        return candidate.closed() && is_ownerless_lock(candidate) &&
               scene.is_known_to_lost(candidate) && !has_link(*evidence.living_links, candidate);
      });
  if (view == scene.views.end()) return std::nullopt;
  const bool all = std::all_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
    return &other == &*view || was_looked_at(other);
  });
  if (!all) return std::nullopt;
  Ruling ruling;
  ruling.culprit = &*view;
  ruling.kind = kind_of_unowned(*view);
  ruling.ground = Ground::kNobodyHolds;
  ruling.answer = Answer::kProbable;
  return ruling;
}

}  // namespace forkscope::rules
