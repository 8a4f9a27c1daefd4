// Waits that may have an end and are not known to have one: for descriptors that only the process's
// own threads write to, and for events that no living thread is seen to know of.
#include <algorithm>
#include <string_view>

#include "detector/verdict/outside/pauses.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

const WaitedDescriptors* descriptors_of(const Scene& scene, const ThreadView& view) {
  const auto& all = scene.evidence.waited_descriptors;
  const auto at = std::find_if(all.begin(), all.end(), [&](const WaitedDescriptors& one) {
    return one.tid == view.thread->tid;
  });
  return at != all.end() ? &*at : nullptr;
}

/// Only threads of the process itself write to what it waits for.
bool is_fed_inside(const Scene& scene, const ThreadView& view) {
  const WaitedDescriptors* waited = descriptors_of(scene, view);
  return waited != nullptr && waited->inside && !waited->outside && view.wait.for_ever;
}

bool asks_for_descriptors(const ThreadView& view) {
  constexpr std::string_view kCalls[] = {"polls descriptors", "selects descriptors",
                                         "waits for events on epoll descriptor"};
  return view.wait.kind == WaitKind::kOutside &&
         std::any_of(std::begin(kCalls), std::end(kCalls),
                     [&](std::string_view call) { return view.wait.does.starts_with(call); });
}

/// None of the others does anything before another thread of the process does.
bool is_alone(const Scene& scene, const ThreadView& view) {
  return std::all_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
    return &other == &view || other.ended() || other.closed() || is_fed_inside(scene, other);
  });
}

bool lost_run(const Scene& scene, const std::string& module) {
  const auto& remembered = scene.evidence.remembered_threads;
  return std::any_of(scene.lost.begin(), scene.lost.end(),
                     [&](const ThreadEvidence* thread) { return runs_code_of(*thread, module); }) ||
         std::any_of(remembered.begin(), remembered.end(), [&](const RememberedThread& thread) {
           return thread.start_routine && thread.start_routine->module == module;
         });
}

bool is_only_thread(const Scene& scene, const ThreadView& view) {
  return std::all_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& other) {
    return &other == &view || other.ended();
  });
}

/// Its threads are the program's; what it waits for beside its own pipes, the program asked for.
bool is_interpreter(const std::string& module) {
  constexpr std::string_view kNames[] = {"libruby", "libpython", "libnode", "libjvm", "libperl",
                                         "libphp"};
  return std::any_of(std::begin(kNames), std::end(kNames), [&](std::string_view name) {
    return base_name(module).starts_with(name);
  });
}

/// A library waits for descriptors that its own threads, which are gone, write to among others.
bool may_miss_writers(const Scene& scene, const ThreadView& view) {
  const WaitedDescriptors* waited = descriptors_of(scene, view);
  const auto library = library_of(scene, view);
  return waited != nullptr && waited->inside && library && !is_interpreter(library->module) &&
         lost_run(scene, library->module);
}

std::optional<Unclear> doubt_of_descriptors(const Scene& scene, const ThreadView& view) {
  if (scene.process.from_core) {
    if (!asks_for_descriptors(view) || !is_only_thread(scene, view)) return std::nullopt;
    const auto library = library_of(scene, view);
    const bool missed = library && lost_run(scene, library->module);
    return view.wait.for_ever || missed ? std::optional(Unclear::kDescriptors) : std::nullopt;
  }
  const bool own = is_fed_inside(scene, view) && descriptors_of(scene, view)->inherited;
  return own || may_miss_writers(scene, view) ? std::optional(Unclear::kOwnWriter) : std::nullopt;
}

/// A thread here began where one of those began that were not copied: it does their work.
bool replaces_lost(const Scene& scene) {
  const auto began = [&](const std::optional<Frame>& start) {
    if (!start) return false;
    const auto same = [&](const std::optional<Frame>& other) {
      return other && other->module == start->module && other->offset == start->offset &&
             other->function == start->function;
    };
    const auto& remembered = scene.evidence.remembered_threads;
    return std::any_of(scene.lost.begin(), scene.lost.end(), [&](const ThreadEvidence* thread) {
             return same(thread->start_routine);
           }) ||
           std::any_of(remembered.begin(), remembered.end(), [&](const RememberedThread& thread) {
             return same(thread.start_routine);
           });
  };
  return std::any_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& view) {
    return !view.ended() && began(view.thread->start_routine);
  });
}

Ruling unclear(const ThreadView& view, Unclear why) {
  Ruling ruling;
  ruling.culprit = &view;
  ruling.unclear = why;
  return ruling;
}

}  // namespace

std::optional<Ruling> missing_writer(const Scene& scene) {
  if (!scene.copied || !scene.left_behind() || !scene.process.all_threads) return std::nullopt;
  for (const ThreadView& view : scene.views)
    if (const auto why = doubt_of_descriptors(scene, view); why && is_alone(scene, view))
      return unclear(view, *why);
  return std::nullopt;
}

std::optional<Ruling> unserved_event(const Scene& scene) {
  const Evidence& evidence = scene.evidence;
  if (!scene.copied || !evidence.lasted || !scene.process.all_threads || replaces_lost(scene))
    return std::nullopt;
  // Who has lost threads may have lost all traces of them, too.
  const bool silent = (evidence.parent_gone || evidence.parent_unreadable) &&
                      (!evidence.memory_knows_threads || evidence.stacks_reused);
  if (!scene.left_behind() && !silent) return std::nullopt;
  const auto& unserved = evidence.unserved_waits;
  for (const ThreadView& view : scene.views) {
    if (!view.closed() || view.must_be_released() || view.owner.where == LockOwner::Where::kHere ||
        std::find(unserved.begin(), unserved.end(), view.thread->tid) == unserved.end()) {
      continue;
    }
    if (scene.left_behind() && !scene.is_known_to_lost(view)) continue;
    Ruling ruling = unclear(view, Unclear::kUnserved);
    if (!scene.left_behind() || may_have_handlers(scene.process)) return ruling;
    ruling.answer = Answer::kProbable;
    ruling.kind = kind_of_unowned(view);
    ruling.ground = Ground::kUnserved;
    return ruling;
  }
  return std::nullopt;
}

}  // namespace forkscope::rules
