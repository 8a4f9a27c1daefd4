#include "detector/inspect/first_look.hpp"

#include <algorithm>
#include <utility>

#include "detector/inspect/live_process.hpp"
#include "detector/inspect/python/python_reader.hpp"
#include "detector/inspect/walk_stack.hpp"

namespace forkscope {
namespace {

/// A chain of copies longer than this is no program that anybody wrote.
constexpr int kMaxAncestors = 16;

const ThreadEvidence* thread_of(const ProcessEvidence& process, std::int32_t own_tid) {
  const auto found =
      std::find_if(process.threads.begin(), process.threads.end(),
                   [&](const ThreadEvidence& thread) { return thread.own_tid == own_tid; });
  return found == process.threads.end() ? nullptr : &*found;
}

std::vector<PythonFrame> python_of(LiveProcess& live, const ProcessEvidence& process,
                                   const ThreadEvidence& thread) {
  const auto reader = PythonReader::open(live.memory(), process.modules, process.mappings);
  if (!reader) return {};
  return reader->frames(thread.own_tid, thread.call ? thread.call->sp : 0);
}

/// Modules that have code on the stack: what is needed to name it later.
std::vector<ModuleRecord> modules_on(const UnwoundStack& stack,
                                     std::vector<ModuleRecord> modules) {
  std::erase_if(modules, [&](const ModuleRecord& module) {
    return std::none_of(stack.addresses.begin(), stack.addresses.end(), [&](std::uint64_t at) {
      return at >= module.start && at <= module.end;  // a return address may be one past it
    });
  });
  return modules;
}

void look_at_holder(FirstLook& look, LiveProcess& child, pid_t parent, std::int32_t holder) {
  const auto mark = child.image_mark();
  for (int climbed = 0; mark && climbed < kMaxAncestors; ++climbed) {
    const auto live = LiveProcess::open(parent);
    if (!live || live->image_mark() != mark) return;
    const ProcessEvidence process = live->look();
    const ThreadEvidence* thread = thread_of(process, holder);
    parent = process.parent;
    if (thread == nullptr) continue;
    look.holder = python_of(*live, process, *thread);
    if (!thread->call || thread->call->pc == 0) return;
    KnownRegisters registers;
    registers.pc = thread->call->pc;
    registers.sp = thread->call->sp;
    look.holder_stack = StackWalker(live->memory(), process.modules).walk(registers);
    look.modules = modules_on(look.holder_stack, process.modules);
    return;
  }
}

}  // namespace

std::optional<FirstLook> first_look(const LookTarget& target) {
  const auto live = LiveProcess::open(target.pid);
  if (!live) return std::nullopt;
  const ProcessEvidence process = live->look();
  // Some file systems give stat() another inode than /proc/PID/maps: there the name has to do.
  const std::string name = std::string("/") + record::kArenaFileName;
  const bool is_it = std::any_of(
      process.mappings.begin(), process.mappings.end(), [&](const Mapping& mapping) {
        return mapping.shared &&
               (mapping.inode == target.inode || mapping.path.ends_with(name) ||
                mapping.path.ends_with(name + " (deleted)"));
      });
  const ThreadEvidence* thread = thread_of(process, target.tid);
  if (!is_it || thread == nullptr) return std::nullopt;
  FirstLook look;
  look.waiter = python_of(*live, process, *thread);
  if (target.holder_tid != 0)
    look_at_holder(look, *live, process.parent, target.holder_tid);
  if (look.waiter.empty() && look.holder.empty() && look.holder_stack.addresses.empty())
    return std::nullopt;
  return look;
}

}  // namespace forkscope
