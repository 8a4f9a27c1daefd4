// Closed processes: every thread waits for another one.
#include <algorithm>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/rules.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

using Where = LockOwner::Where;

/// Waits that only make sense if another thread was to come: a barrier of one never blocks.
bool expects_others(LockFamily family) {
  return family == LockFamily::kBarrier || family == LockFamily::kGompBarrier ||
         family == LockFamily::kJoin || family == LockFamily::kOnce ||
         family == LockFamily::kRustOnce || family == LockFamily::kStaticGuard;
}

/// Threads of std::thread start in the C++ library, whatever they are there for.
bool is_library_start(const Frame& start) {
  const std::string name = base_name(start.module);
  return is_standard_library(start) || name.starts_with("libstdc++.so") ||
         name.starts_with("libc++.so");
}

/// Whether threads that were not copied run the code that waits here. A library's threads are its
/// own business; of code that anybody may use to wait, a thread must be seen to know of the wait.
bool explained_by_lost(const Scene& scene, const ThreadView& view) {
  const Frame* frame = innermost_program_frame(view.thread->stack);
  if (frame == nullptr) return false;
  if (!view.must_be_released() && !expects_others(view.family) &&
      may_park(view.thread->stack, scene.process.exe) && !scene.is_known_to_lost(view))
    return false;
  const auto& remembered = scene.evidence.remembered_threads;
  return std::any_of(scene.lost.begin(), scene.lost.end(),
                     [&](const ThreadEvidence* thread) {
                       return runs_code_of(*thread, frame->module);
                     }) ||
         std::any_of(remembered.begin(), remembered.end(), [&](const RememberedThread& thread) {
           return thread.start_routine && (thread.start_routine->module == frame->module ||
                                           is_library_start(*thread.start_routine));
         });
}

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
  if (ruling.signal_handlers && (!scene.forked || cycle || !scene.left_behind()))
    return with(Answer::kWaiting);
  if (!scene.forked || cycle) return with(Answer::kStuck);
  // Only what a fork leaves behind explains the wait if threads were left behind.
  if (!scene.left_behind())
    return with((evidence.parent_gone || evidence.parent_unreadable) &&
                        !evidence.memory_knows_threads
                    ? Answer::kUnknown
                    : Answer::kStuck);
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
