// Locks without an owner word, beside threads that are alive. What is asked for: the wait has lasted;
// a thread that was not copied is seen to know of the lock; every other thread here sleeps, and none
// of them is seen to know of the lock, from its stack, from what that leads to, or from the code it
// is in. Whoever holds a lock and is about to release it knows where it is.
//
// Where those that were not copied can no longer be asked, of a variable of the program the second
// will do: nobody here can release it.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

bool has_link(const std::vector<WaitLink>& links, const ThreadView& view) {
  return std::any_of(links.begin(), links.end(),
                     [&](const WaitLink& link) { return link.waiter == view.thread->tid; });
}

/// It sleeps, so that all it may know of could be looked at (inspect/wait_links.hpp).
bool was_looked_at(const ThreadView& view) {
  if (view.ended()) return true;
  const bool sleeps = view.wait.kind == WaitKind::kFutex || view.wait.kind == WaitKind::kOutside ||
                      view.wait.kind == WaitKind::kTime;
  return sleeps && view.thread->call;
}

/// Their stacks were given to threads of the child, and the process they lived in is not there.
bool lost_cannot_be_asked(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  return evidence.stacks_reused && scene.lost.empty() &&
         (scene.process.from_core || evidence.parent_gone);
}

bool lies_in_module(const Scene& scene, const ThreadView& view) {
  const std::uint64_t address = view.lock.address != 0 ? view.lock.address : view.wait.futex->address;
  const auto& modules = scene.process.modules;
  return std::any_of(modules.begin(), modules.end(), [&](const ModuleRecord& module) {
    return address >= module.start && address < module.end;
  });
}

}  // namespace

std::optional<Ruling> inherited_lock(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  const bool unasked = lost_cannot_be_asked(scene);
  if (!scene.copied || (!scene.left_behind() && !unasked) || !evidence.lasted) return std::nullopt;
  if (!evidence.living_links || !scene.process.all_threads) return std::nullopt;
  const auto view = std::find_if(
      scene.views.begin(), scene.views.end(), [&](const ThreadView& candidate) {
        return candidate.closed() && is_ownerless_lock(candidate) &&
               (scene.is_known_to_lost(candidate) || (unasked && lies_in_module(scene, candidate))) &&
               !has_link(*evidence.living_links, candidate);
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
