#include "detector/verdict/outside/scene.hpp"

#include <signal.h>

#include <algorithm>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using Where = LockOwner::Where;

constexpr std::uint64_t signal_bit(int signal) { return std::uint64_t{1} << (signal - 1); }

/// Signals whose handlers end no wait: errors of the thread itself come from none, and 32 and 33 are
/// libc's own (cancellation and setuid).
constexpr std::uint64_t kHarmlessHandlers = signal_bit(SIGSEGV) | signal_bit(SIGBUS) |
                                            signal_bit(SIGFPE) | signal_bit(SIGILL) |
                                            signal_bit(SIGSYS) | signal_bit(32) | signal_bit(33);

/// Waits that only make sense if another thread was to come: a barrier of one never blocks.
bool expects_others(LockFamily family) {
  return family == LockFamily::kBarrier || family == LockFamily::kGompBarrier ||
         family == LockFamily::kJoin || family == LockFamily::kOnce ||
         family == LockFamily::kRustOnce || family == LockFamily::kStaticGuard;
}

/// Threads of std::thread start in the C++ library, whatever they are there for.
bool is_library_start(const Frame& start) {
  return is_standard_library(start) || is_cxx_runtime(start.module);
}

bool all(const std::vector<ThreadView>& views, bool (*is)(const ThreadView&)) {
  return std::all_of(views.begin(), views.end(), is);
}

}  // namespace

Scene::Scene(const Evidence& seen)
    : evidence(seen),
      process(seen.process),
      views(view_threads(seen)),
      lost(lost_threads(seen)),
      forked(process.forked.value_or(false)),
      copied(forked && process.shares_memory != true),
      closed(process.all_threads && process.shares_memory != true &&
             all(views, [](const ThreadView& view) { return view.ended() || view.closed(); })),
      blind(all(views,
                [](const ThreadView& view) { return view.wait.kind == WaitKind::kUnknown; })) {}

const ThreadView* Scene::owner_here(const ThreadView& view) const {
  const bool here = view.owner.where == Where::kHere ||
                    (view.owner.where == Where::kItself && view.owner.pid == process.pid);
  if (!here) return nullptr;
  const auto at = std::find_if(views.begin(), views.end(), [&](const ThreadView& other) {
    return other.thread->tid == view.owner.tid;
  });
  return at != views.end() ? &*at : nullptr;
}

bool Scene::is_known_to_lost(const ThreadView& view) const {
  return std::any_of(evidence.wait_links.begin(), evidence.wait_links.end(),
                     [&](const WaitLink& link) { return link.waiter == view.thread->tid; });
}

record::Kind kind_of_unowned(const ThreadView& view) {
  if (view.family == LockFamily::kLibcLock) return record::Kind::kLibcLock;
  return view.is_lock() ? record::Kind::kOrphanedLock : record::Kind::kLostThread;
}

bool has_python(const ProcessEvidence& process) {
  return std::any_of(process.modules.begin(), process.modules.end(),
                     [](const ModuleRecord& module) { return is_python_module(module.path); });
}

bool handlers_only_make_notes(const ProcessEvidence& process, const ThreadView& view) {
  const Frame* frame = innermost_program_frame(view.thread->stack);
  if (!has_python(process) || frame == nullptr) return false;
  if (!is_python_module(frame->module)) return true;
  // Ctrl-C ends the wait for an event, and programs wait so until it comes; who waits for a lock
  // (the frame is not in threading.py's Condition.wait) does not wait for Ctrl-C.
  const std::vector<PythonFrame>& frames = view.thread->python;
  const bool waits_for_event = frames.empty() || (base_name(frames.front().file) == "threading.py" &&
                                                  frames.front().function.ends_with("wait"));
  return !waits_for_event && has_only_interrupt_handler(process);
}

bool has_only_interrupt_handler(const ProcessEvidence& process) {
  return process.caught_signals &&
         (*process.caught_signals & ~kHarmlessHandlers & ~signal_bit(SIGINT)) == 0;
}

bool has_shared_memory(const ProcessEvidence& process) {
  return std::any_of(process.mappings.begin(), process.mappings.end(), [](const Mapping& mapping) {
    return mapping.shared && mapping.writable && base_name(mapping.path) != "records";
  });
}

bool may_have_handlers(const ProcessEvidence& process) {
  return !process.caught_signals || (*process.caught_signals & ~kHarmlessHandlers) != 0;
}

bool runs_code_of(const ThreadEvidence& thread, const std::string& module) {
  if (thread.start_routine && thread.start_routine->module == module) return true;
  return std::any_of(thread.stack.begin(), thread.stack.end(),
                     [&](const Frame& frame) { return frame.module == module; });
}

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

}  // namespace forkscope
