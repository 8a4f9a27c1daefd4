// Locks that name their owner.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

using Where = LockOwner::Where;

/// The first process of a PID namespace counts anew: there the numbers alone do not tell threads
/// of its own from those of before.
bool remembers(const Scene& scene, std::int32_t own_tid) {
  const auto& threads = scene.evidence.remembered_threads;
  return std::any_of(threads.begin(), threads.end(), [&](const RememberedThread& thread) {
    return thread.own_tid == own_tid;
  });
}

bool is_held_by_absent(const Scene& scene, const ThreadView& view) {
  if (!view.closed() || !view.owner_absent() || !is_owned(view.family)) return false;
  if (view.owner.where == Where::kItself && view.owner.pid == scene.process.pid) return false;
  // A thread of this process that ended with the lock in its hands is no matter of the fork.
  return view.owner.where != Where::kGone || view.lock.owner <= scene.process.own_pid ||
         remembers(scene, view.lock.owner);
}

/// Of its own locks a thread has the ones that know it by its id in the parent, and could not unlock
/// them if it tried: the library says so of the same wait (meet_mutex in tracker/orphan.cpp).
record::Kind kind_of_owned(const ThreadView& view) {
  if (view.family == LockFamily::kLibcLock) return record::Kind::kLibcLock;
  if (view.owner.where != Where::kItself) return record::Kind::kOrphanedLock;
  return view.lock.compares_owner ? record::Kind::kStaleOwner : record::Kind::kSelfHeldLock;
}

}  // namespace

std::optional<Ruling> absent_owner(const Scene& scene) {
  if (!scene.copied) return std::nullopt;
  const auto view = std::find_if(
      scene.views.begin(), scene.views.end(),
      [&](const ThreadView& candidate) { return is_held_by_absent(scene, candidate); });
  if (view == scene.views.end()) return std::nullopt;
  Ruling ruling;
  ruling.culprit = &*view;
  ruling.ground = Ground::kOwnerWord;
  ruling.kind = kind_of_owned(*view);
  // Nothing but its number says that the owner is one that was not copied: ids are used again.
  const bool known_lost = view->owner.where != Where::kGone || scene.left_behind();
  // Threads of the child's own could release a lock they do not hold (glibc does not check), so
  // with them about, the wait must have lasted.
  const bool sure = (scene.closed || scene.evidence.lasted) && !scene.others_may_wake();
  ruling.answer = known_lost && sure ? Answer::kDeadlock : Answer::kProbable;
  return ruling;
}

std::optional<Ruling> unknown_holder(const Scene& scene) {
  if (!scene.copied) return std::nullopt;
  for (const ThreadView& view : scene.views) {
    if (!view.closed() || !is_owned(view.family) || view.owner.where != Where::kUnknown ||
        view.lock.owner == 0) {
      continue;
    }
    Ruling ruling;
    ruling.culprit = &view;
    ruling.answer = Answer::kUnknown;
    return ruling;
  }
  return std::nullopt;
}

}  // namespace forkscope::rules
