#include "detector/verdict/outside/pauses.hpp"

#include <algorithm>
#include <cctype>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope::rules {
namespace {

constexpr std::size_t kLockFrames = 3;  ///< of the program, innermost, that may name a lock

/// Words of names that stand for a lock, and those that only look so.
bool is_name_of_lock(const std::string& function) {
  std::string name = function;
  for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const std::string_view other : {"clock", "block", "unlock", "flock", "lockf", "lock_f",
                                       "filelock", "file_lock", "dotlock"})
    if (name.find(other) != std::string::npos) return false;
  return name.find("lock") != std::string::npos || name.find("mutex") != std::string::npos ||
         name.find("acquire") != std::string::npos;
}

bool is_in_module(const ProcessEvidence& process, const Mapping& mapping) {
  return std::any_of(process.modules.begin(), process.modules.end(), [&](const ModuleRecord& module) {
    return mapping.start < module.end && module.start < mapping.end;
  });
}

}  // namespace

bool is_python_wait(const ThreadView& view) {
  const Frame* frame = innermost_program_frame(view.thread->stack);
  return frame != nullptr && is_python_module(frame->module);
}

bool names_lock(const std::vector<Frame>& stack) {
  std::size_t seen = 0;
  for (const Frame& frame : stack) {
    if (frame.module.empty() || is_libc_module(frame.module)) continue;
    if (is_name_of_lock(frame.function)) return true;
    if (++seen == kLockFrames) return false;
  }
  return false;
}

const WaitingLoop* waiting_loop_of(const Evidence& evidence, const ThreadView& view) {
  const auto& loops = evidence.waiting_loops;
  const auto at = std::find_if(loops.begin(), loops.end(), [&](const WaitingLoop& loop) {
    return loop.tid == view.thread->tid;
  });
  return at != loops.end() ? &*at : nullptr;
}

bool may_look_at_shared(const Scene& scene, const WaitingLoop& loop) {
  if (!loop.looks_elsewhere) return false;
  if (has_shared_memory(scene.process)) return true;
  // Of a plain file a core file does not tell how it was mapped.
  const auto& mappings = scene.process.mappings;
  return scene.process.from_core &&
         std::any_of(mappings.begin(), mappings.end(), [&](const Mapping& mapping) {
           return mapping.writable && mapping.path.starts_with('/') &&
                  base_name(mapping.path) != "records" && !is_in_module(scene.process, mapping);
         });
}

std::optional<Component> library_of(const Scene& scene, const ThreadView& view) {
  auto component = waiting_component(view.thread->stack);
  if (!component || component->module == scene.process.exe ||
      !may_miss_threads(*component, scene.process.exe) || is_waiting_library(component->module)) {
    return std::nullopt;
  }
  return component;
}

}  // namespace forkscope::rules
