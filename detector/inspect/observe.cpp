#include "detector/inspect/observe.hpp"

#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <memory>

#include "detector/inspect/core_file.hpp"
#include "detector/inspect/event_links.hpp"
#include "detector/inspect/glibc_threads.hpp"
#include "detector/inspect/live_process.hpp"
#include "detector/inspect/thread_stacks.hpp"
#include "detector/inspect/wait_links.hpp"
#include "detector/inspect/waited_descriptors.hpp"
#include "detector/inspect/waited_words.hpp"
#include "detector/inspect/waiting_loops.hpp"
#include "detector/verdict/outside/waits.hpp"

namespace forkscope {
namespace {

/// A chain of copies longer than this is no program that anybody wrote.
constexpr int kMaxAncestors = 16;

struct Looked {
  std::unique_ptr<LiveProcess> live;
  ProcessEvidence evidence;
};

/// Whether a thread may be the victim of a fork: everything that follows is only for those.
bool is_suspect(const ProcessEvidence& process) {
  return process.forked.value_or(false) &&
         std::any_of(process.threads.begin(), process.threads.end(),
                     [&](const ThreadEvidence& thread) {
                       const Wait wait = wait_of(thread, process.abi);
                       return wait.kind == WaitKind::kRunning || wait.kind == WaitKind::kTime ||
                              wait.kind == WaitKind::kFutex ||
                              (thread.call && waits_for_descriptors(*thread.call));
                     });
}

/// A copy has the command line and the name of the process it was made from, unless one of them was
/// changed since.
bool looks_like_copy(const ProcessEvidence& child, const LiveProcess& parent) {
  const auto stat = parent.stat();
  return (stat && stat->name == child.name) || parent.command() == child.command;
}

/// Whose parent has ended is the child of process 1, or of another that takes in orphans
/// (PR_SET_CHILD_SUBREAPER): whether that one can be read does not matter.
bool has_ended(const ProcessEvidence& child, const LiveProcess& parent) {
  const auto stat = parent.stat();
  if (!stat || stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1)) return true;
  return parent.pid() == 1 && !looks_like_copy(child, parent);
}

/// Adds to the evidence whether the parent is gone or cannot be read.
std::vector<Looked> look_at_ancestors(LiveProcess& child, Evidence& evidence) {
  std::vector<Looked> ancestors;
  const auto mark = child.image_mark();
  if (!mark) return ancestors;
  const ProcessEvidence* nearest = &evidence.process;
  while (nearest->forked.value_or(false) && ancestors.size() < kMaxAncestors) {
    Looked next;
    next.live = LiveProcess::open(nearest->parent);
    const auto parents_mark = next.live ? next.live->image_mark() : std::nullopt;
    const int refused = next.live ? next.live->last_error() : 0;
    const bool is_copied_from = parents_mark && *parents_mark == *mark;
    if (ancestors.empty()) {
      evidence.parent_unreadable = next.live && !parents_mark &&
                                   !next.live->is_kernel_thread() &&
                                   !has_ended(*nearest, *next.live);
      evidence.parent_gone = !evidence.parent_unreadable && !is_copied_from;
    }
    if (evidence.parent_unreadable) {
      Missing missing = why_unreadable(
          nearest->parent,
          fmt::format("its parent, process {},{} cannot be read", nearest->parent,
                      looks_like_copy(*nearest, *next.live)
                          ? ""
                          : " which may only have taken it in when the one that forked ended,"),
          refused);
      if (!missing.cure.empty())
        missing.cure = fmt::format("sudo forkscope attach {}", evidence.process.pid);
      evidence.process.missing.push_back(std::move(missing));
    }
    if (!is_copied_from) break;
    next.evidence = next.live->look();
    ancestors.push_back(std::move(next));
    nearest = &ancestors.back().evidence;
  }
  return ancestors;
}

/// What the process's own memory tells of the fork: who was left behind, and who forked.
std::vector<LeftThread> remember_fork(Evidence& evidence, ProcessMemory& memory,
                                      ProcessMemory* parent, Namer& namer) {
  auto threads = glibc_threads(memory, evidence.process);
  evidence.memory_knows_threads = threads.has_value();
  evidence.stacks_reused = evidence.process.threads.size() > 1 || (threads && threads->ended);
  if (!threads) return {};
  for (const LeftThread& left : threads->left) {
    RememberedThread thread;
    thread.own_tid = left.own_tid;
    auto frames = namer.code(left.start_routine, false, evidence.process.modules);
    if (!frames.empty()) thread.start_routine = frames.back();
    evidence.remembered_threads.push_back(std::move(thread));
  }
  if (parent != nullptr && threads->first_tid_address != 0)
    evidence.forker_own_tid =
        parent->get<std::int32_t>(threads->first_tid_address).value_or(0);
  return std::move(threads->left);
}

/// Only now that those it is a copy of are in the evidence.
void look_for_links(Evidence& evidence, const LinkMemory& memory,
                    const std::vector<LeftThread>& left, Namer& namer) {
  const bool stacks = std::any_of(evidence.process.threads.begin(), evidence.process.threads.end(),
                                  [](const ThreadEvidence& t) { return !t.stack.empty(); });
  if (!stacks) return;
  evidence.wait_links = wait_links(memory, evidence, left, namer);
  evidence.living_links = living_links(memory, evidence, namer);
  evidence.waiting_loops = waiting_loops(memory.own, evidence, left, namer);
  evidence.unserved_waits = unserved_waits(memory.own, evidence, namer);
}

}  // namespace

bool wants_patience(const Evidence& evidence) {
  const ProcessEvidence& process = evidence.process;
  if (!process.forked.value_or(false) || process.threads.size() < 2) return false;
  return std::any_of(process.threads.begin(), process.threads.end(),
                     [&](const ThreadEvidence& thread) {
                       const Wait wait = wait_of(thread, process.abi);
                       return thread.settled && wait.futex && wait.for_ever;
                     });
}

void look_again(Evidence& evidence) {
  auto live = LiveProcess::open(evidence.process.pid);
  if (!live) return;
  const auto stat = live->stat();
  if (!stat || stat->start != evidence.process.start) return;
  const std::vector<ThreadEvidence> now = live->threads();
  evidence.lasted = std::all_of(
      evidence.process.threads.begin(), evidence.process.threads.end(),
      [&](const ThreadEvidence& then) {
        return !then.settled ||
               std::any_of(now.begin(), now.end(), [&](const ThreadEvidence& thread) {
                 return thread.tid == then.tid && slept_since(evidence.process.threads, thread);
               });
      });
}

std::optional<Evidence> observe(pid_t pid, const ObserveOptions& options, Namer& namer) {
  auto live = LiveProcess::open(pid);
  if (!live) return std::nullopt;
  Evidence evidence;
  evidence.clock_ticks_per_second = static_cast<std::uint64_t>(sysconf(_SC_CLK_TCK));
  timespec since_boot{};
  clock_gettime(CLOCK_BOOTTIME, &since_boot);
  evidence.now = (std::uint64_t(since_boot.tv_sec) * 1000 +
                  std::uint64_t(since_boot.tv_nsec) / 1'000'000) *
                 evidence.clock_ticks_per_second / 1000;
  evidence.process = live->look();
  ProcessEvidence& process = evidence.process;
  if (process.state == 'X') return std::nullopt;

  const bool suspect = is_suspect(process);
  if (suspect && options.relatives) {
    process.shares_memory = live->shares_memory();
    process.io_uring = live->has_io_uring();
  }
  std::vector<Looked> ancestors;
  // What shares its memory with another process is no copy of it.
  if (options.relatives && process.forked.value_or(false) && process.shares_memory != true)
    ancestors = look_at_ancestors(*live, evidence);
  copy_waited_words(process, live->memory());
  if (options.stacks) {
    if (options.stop) {
      take_stopped_stacks(process, live->memory(), namer);
    } else {
      take_blocked_stacks(process, live->memory(), namer);
    }
    for (Looked& ancestor : ancestors)
      if (suspect) take_blocked_stacks(ancestor.evidence, ancestor.live->memory(), namer);
  }
  const bool judged = suspect && options.relatives && process.shares_memory != true;
  ProcessMemory* parent = ancestors.empty() ? nullptr : &ancestors.front().live->memory();
  std::vector<LeftThread> left;
  if (judged) left = remember_fork(evidence, live->memory(), parent, namer);
  for (Looked& ancestor : ancestors) evidence.ancestors.push_back(std::move(ancestor.evidence));
  if (judged) look_for_links(evidence, {live->memory(), parent}, left, namer);
  if (judged) evidence.waited_descriptors = waited_descriptors(live->memory(), evidence);
  // A process that ended meanwhile gave its last threads and no memory: no evidence of anything.
  if (!live->stat()) return std::nullopt;
  return evidence;
}

Evidence observe_core(const std::string& path, const std::string& exe, Namer& namer) {
  CoreFile core(path, exe);
  Evidence evidence;
  evidence.process = core.process();
  evidence.lasted = true;  // whatever it did when it was dumped, it does no more
  // Processes of another time, and perhaps of another host: there is no parent to look at.
  evidence.parent_unreadable = evidence.process.forked.value_or(false);
  evidence.process.caught_signals.reset();
  copy_waited_words(evidence.process, core);
  take_core_stacks(evidence.process, core, namer, core.registers());
  if (is_suspect(evidence.process))
    look_for_links(evidence, {core}, remember_fork(evidence, core, nullptr, namer), namer);
  return evidence;
}

}  // namespace forkscope
