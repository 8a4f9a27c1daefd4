// Processes that need no rule about forks.
#include <algorithm>

#include "detector/verdict/outside/rules.hpp"

namespace forkscope::rules {
namespace {

bool any(const Scene& scene, WaitKind kind) {
  return std::any_of(scene.views.begin(), scene.views.end(),
                     [&](const ThreadView& view) { return view.wait.kind == kind; });
}

Ruling simply(Answer answer) {
  Ruling ruling;
  ruling.answer = answer;
  return ruling;
}

}  // namespace

std::optional<Ruling> beyond_judgement(const Scene& scene) {
  if (scene.process.ended) return simply(Answer::kEnded);
  if (scene.process.kernel_thread) return simply(Answer::kWaiting);
  if (scene.process.abi == Abi::k32Bit) return simply(Answer::kUnknown);
  if (any(scene, WaitKind::kStopped)) return simply(Answer::kWaiting);
  if (scene.blind) {
    Ruling ruling = simply(Answer::kUnknown);
    ruling.readable = scene.views.empty();
    return ruling;
  }
  return std::nullopt;
}

std::optional<Ruling> unseen_sharers(const Scene& scene) {
  const auto view =
      std::find_if(scene.views.begin(), scene.views.end(), [](const ThreadView& candidate) {
        return candidate.reach == Reach::kUnseen && candidate.wait.for_ever;
      });
  if (view == scene.views.end()) return std::nullopt;
  Ruling ruling = simply(Answer::kUnknown);
  ruling.culprit = &*view;
  return ruling;
}

std::optional<Ruling> goes_on(const Scene& scene) {
  return simply(any(scene, WaitKind::kRunning) ? Answer::kRunning : Answer::kWaiting);
}

}  // namespace forkscope::rules
