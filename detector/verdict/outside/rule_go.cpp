// Go's runtime in a copy. Go says itself that a forked child that goes on without exec cannot work
// (syscall.forkExec calls nothing of the runtime): goroutines are moved by threads that are not there.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

bool is_go(const Frame& frame) { return frame.function.starts_with("runtime."); }

bool in_function(const std::vector<Frame>& stack, std::string_view name) {
  return std::any_of(stack.begin(), stack.end(), [&](const Frame& frame) {
    return frame.function == name || (frame.function.starts_with(name) &&
                                      frame.function[name.size()] == '.');  // ".abi0"
  });
}

/// It sleeps in the runtime's own futex or nap: a lock of the runtime, or a thread without work
/// (runtime/os_linux.go, lock_futex.go). Whatever waits in the program's name waits in the kernel by
/// other calls, or has its goroutine parked first.
bool parks_in_go(const ThreadView& view) {
  const std::vector<Frame>& stack = view.thread->stack;
  return stack.size() > 1 && is_go(stack[0]) && is_go(stack[1]) &&
         (in_function({stack[0]}, "runtime.futex") || in_function({stack[0]}, "runtime.usleep"));
}

/// Asleep until another thread acts, or back there again and again.
bool stays(const Scene& scene, const ThreadView& view) {
  const auto& all = scene.evidence.rounds;
  return view.closed() || std::any_of(all.begin(), all.end(), [&](const Rounds& rounds) {
           return rounds.tid == view.thread->tid && rounds.turns >= 3 && rounds.elsewhere == 0 &&
                  rounds.asleep > rounds.awake;
         });
}

/// Threads that the copy has may be the runtime's, and serve it: those that do not park, and its
/// watcher, which runs where a runtime was started and is not copied.
bool may_be_served(const Scene& scene) {
  return std::any_of(scene.views.begin(), scene.views.end(), [&](const ThreadView& view) {
    return !view.ended() && (!stays(scene, view) || in_function(view.thread->stack, "runtime.sysmon"));
  });
}

bool runs_go(const ThreadEvidence& thread, const std::string& module) {
  return std::any_of(thread.stack.begin(), thread.stack.end(), [&](const Frame& frame) {
    return frame.module == module && is_go(frame);
  });
}

}  // namespace

std::optional<Ruling> lost_go_runtime(const Scene& scene) {
  if (!scene.copied || !scene.left_behind() || may_be_served(scene)) return std::nullopt;
  // Without handlers of signals a proof may be had.
  if (scene.closed && !may_have_handlers(scene.process) && !scene.others_may_wake())
    return std::nullopt;
  const auto view = std::find_if(scene.views.begin(), scene.views.end(), parks_in_go);
  if (view == scene.views.end()) return std::nullopt;
  const std::string& module = view->thread->stack.front().module;
  Ruling ruling;
  for (const ThreadEvidence* thread : scene.lost)
    if (runs_go(*thread, module)) ruling.missed.push_back(thread);
  const auto& remembered = scene.evidence.remembered_threads;
  const bool began_there = std::any_of(
      remembered.begin(), remembered.end(), [&](const RememberedThread& thread) {
        return thread.start_routine && thread.start_routine->module == module;
      });
  if (ruling.missed.empty() && !began_there) return std::nullopt;
  ruling.culprit = &*view;
  // Also where it waits for one of the runtime's locks, which one of them had: that depends on luck,
  // and is one fault with one cure.
  ruling.kind = record::Kind::kLostThread;
  ruling.ground = Ground::kRoleGone;
  ruling.answer = Answer::kProbable;
  return ruling;
}

}  // namespace forkscope::rules
