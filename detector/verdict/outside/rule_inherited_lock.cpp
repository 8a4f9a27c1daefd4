// Locks without an owner word, beside threads that are alive. What is asked for: the wait has lasted;
// a thread that was not copied is seen to know of the lock; every other thread here sleeps, and none
// of them is seen to know of the lock, from its stack, from what that leads to, or from the code it
// is in. Whoever holds a lock and is about to release it knows where it is.
//
// Where those that were not copied can no longer be asked, of a variable of the program the second
// will do: nobody here can release it.
#include <algorithm>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/outside/memory_map.hpp"
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

/// In whose data the lock lies; null: on the heap or a stack.
const ModuleRecord* module_of_lock(const Scene& scene, const ThreadView& view) {
  const std::uint64_t address = view.lock.address != 0 ? view.lock.address : view.wait.futex->address;
  return module_at(scene.process, address);
}

bool is_library_code(const Scene& scene, const Frame& frame) {
  return !frame.module.empty() && frame.module != scene.process.exe &&
         !is_libc_module(frame.module) && !is_cxx_runtime(frame.module);
}

/// A lock that is a library's own: whoever has it is in that library, and a lost thread is in a
/// function of it that the one that waits is in as well.
bool is_in_library_with_lost(const Scene& scene, const ThreadView& view) {
  const ModuleRecord* owner = module_of_lock(scene, view);
  if (owner == nullptr || owner->path == scene.process.exe) return false;
  const auto shares = [&](const Frame& frame, const std::vector<Frame>& stack) {
    return !frame.function.empty() && is_library_code(scene, frame) &&
           std::any_of(stack.begin(), stack.end(), [&](const Frame& other) {
             return other.module == frame.module && other.function == frame.function;
           });
  };
  const auto runs_library = [&](const ThreadView& other) {
    return &other != &view && !other.ended() &&
           std::any_of(view.thread->stack.begin(), view.thread->stack.end(), [&](const Frame& frame) {
             return is_library_code(scene, frame) && runs_code_of(*other.thread, frame.module);
           });
  };
  if (std::any_of(scene.views.begin(), scene.views.end(), runs_library)) return false;
  return std::any_of(scene.lost.begin(), scene.lost.end(), [&](const ThreadEvidence* thread) {
    return std::any_of(view.thread->stack.begin(), view.thread->stack.end(),
                       [&](const Frame& frame) { return shares(frame, thread->stack); });
  });
}

/// Who runs something once lets others wait on a word that it need not know of itself.
bool runs_something_once(const ThreadView& view) {
  return view.known.type.find("nce flag") != std::string_view::npos ||
         view.known.type.find("Once") != std::string_view::npos;
}

bool may_be_a_lost_ones(const Scene& scene, const ThreadView& view) {
  if (scene.is_known_to_lost(view) || is_in_library_with_lost(scene, view)) return true;
  const ModuleRecord* module = lost_cannot_be_asked(scene) ? module_of_lock(scene, view) : nullptr;
  return module != nullptr && (module->path == scene.process.exe || !runs_something_once(view));
}

}  // namespace

std::optional<Ruling> inherited_lock(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  if (!scene.copied || !evidence.lasted) return std::nullopt;
  if (!scene.left_behind() && !lost_cannot_be_asked(scene)) return std::nullopt;
  if (!evidence.living_links || !scene.process.all_threads) return std::nullopt;
  const auto view = std::find_if(
      scene.views.begin(), scene.views.end(), [&](const ThreadView& candidate) {
        return candidate.closed() && is_ownerless_lock(candidate) &&
               may_be_a_lost_ones(scene, candidate) && !has_link(*evidence.living_links, candidate);
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
