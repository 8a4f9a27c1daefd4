#include "detector/verdict/outside/thread_view.hpp"

#include <algorithm>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outside/memory_map.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMaxHints = 24;

/// The file in whose data an address lies.
std::string data_module(const ProcessEvidence& process, std::uint64_t address) {
  const ModuleRecord* module = module_at(process, address);
  return module != nullptr ? base_name(module->path) : "";
}

WaitHint hint_of(const std::vector<Frame>& stack) {
  WaitHint hint;
  for (const Frame& frame : stack) {
    if (hint.functions.size() >= kMaxHints) break;
    if (!frame.function.empty()) hint.functions.push_back(frame.function);
  }
  if (!stack.empty()) hint.module = base_name(stack.front().module);
  for (const Frame& frame : stack) {
    if (is_libc_module(frame.module)) continue;
    hint.caller_module = base_name(frame.module);
    break;
  }
  return hint;
}

/// What a core file tells of a mapping that is not plainly shared. NT_FILE has no flags, and which
/// segments are there depends on a filter that is not in the file (core(5)). Memory without a file
/// is the process's own, for MAP_SHARED memory has one, without a name in any folder; the loader
/// maps modules MAP_PRIVATE. Of any other file nobody can tell.
Reach reach_in_core(const Mapping& mapping, const ProcessEvidence& process, std::uint64_t address) {
  const bool has_files = std::any_of(
      process.mappings.begin(), process.mappings.end(),
      [](const Mapping& one) { return one.path.starts_with('/'); });
  const bool is_own = mapping.path == "[stack]" ||
                      (has_files && (!mapping.path.starts_with('/') || module_at(process, address) != nullptr));
  return is_own ? Reach::kInside : Reach::kUnseen;
}

/// A private futex is found by address within the process; another one by the page behind it, which
/// is the process's own unless it is mapped MAP_SHARED (futex(2), kernel/futex/core.c).
Reach reach_of(const FutexWait& futex, const ProcessEvidence& process) {
  if (futex.timed) return Reach::kItself;
  if (futex.pi) return Reach::kOutside;  // the kernel ends it when the owner dies
  if (futex.is_private) return Reach::kInside;
  const Mapping* mapping = mapping_at(process, futex.address);
  if (mapping == nullptr || mapping->shared) return Reach::kOutside;
  if (process.from_core) return reach_in_core(*mapping, process, futex.address);
  // A page of a file that nobody may write here is found by the file, as others map it.
  return mapping->writable || mapping->inode == 0 ? Reach::kInside : Reach::kOutside;
}

/// The function that waits says what for, also where the bytes do not: a lock that was damaged, or
/// glibc's endless wait for a priority-inheriting mutex whose owner is gone, on a word of the stack.
LockFamily family_of_call(const Frame* called) {
  if (called == nullptr) return LockFamily::kUnknown;
  constexpr std::pair<std::string_view, LockFamily> kCalls[] = {
      {"pthread_mutex_", LockFamily::kMutex},    {"pthread_rwlock_", LockFamily::kRwlock},
      {"pthread_cond_", LockFamily::kCondition}, {"pthread_barrier_", LockFamily::kBarrier},
      {"pthread_once", LockFamily::kOnce},       {"pthread_join", LockFamily::kJoin},
      {"pthread_clockjoin", LockFamily::kJoin}};
  for (auto [name, family] : kCalls)
    if (called->function.find(name) != std::string::npos) return family;
  return LockFamily::kUnknown;
}

LockOwner as_owner(const ProcessEvidence& process, const ThreadEvidence& thread) {
  LockOwner owner;
  owner.pid = process.pid;
  owner.tid = thread.tid;
  owner.name = thread.name;
  owner.stack = thread.stack;
  owner.python = thread.python;
  owner.start = thread.start_routine;
  return owner;
}

/// Whether a thread of the parent lived when the copy was made. Within a tick of the clock the ids
/// decide, which the kernel gives in rising order.
bool is_older(const ThreadEvidence& thread, const ProcessEvidence& copy) {
  return thread.start < copy.start || (thread.start == copy.start && thread.tid < copy.pid);
}

const ThreadEvidence* by_own_tid(const ProcessEvidence& process, std::int32_t own_tid) {
  auto at = std::find_if(process.threads.begin(), process.threads.end(),
                         [&](const ThreadEvidence& thread) { return thread.own_tid == own_tid; });
  return at != process.threads.end() ? &*at : nullptr;
}

/// The thread that forked goes on as the first thread of the child, under another id: what it held,
/// that one holds.
LockOwner held_by_forker(const Evidence& evidence, const ThreadEvidence& waiter,
                         const ThreadEvidence& forker) {
  const ThreadEvidence& first = evidence.process.threads.front();
  LockOwner owner = &waiter == &first ? as_owner(evidence.ancestors.front(), forker)
                                      : as_owner(evidence.process, first);
  owner.where = &waiter == &first ? LockOwner::Where::kItself : LockOwner::Where::kHere;
  return owner;
}

/// Of a core file there is no parent to look at. Its id is known, though, and it is the id of the
/// thread that forked, where the copy goes on on the stack of the parent's first thread.
bool was_forker_of_core(const Evidence& evidence, std::int32_t owner) {
  const ProcessEvidence& process = evidence.process;
  const ThreadEvidence& first = process.threads.front();
  if (!process.from_core || !process.forked.value_or(false) || owner != process.parent ||
      !first.call)
    return false;
  const Mapping* stack = mapping_at(process, first.call->sp);
  return stack != nullptr && stack->path == "[stack]";
}

LockOwner owner_of(const Evidence& evidence, const ThreadEvidence& waiter,
                   const RecognisedLock& lock) {
  LockOwner owner;
  if (lock.owner == 0) return owner;
  if (const ThreadEvidence* here = by_own_tid(evidence.process, lock.owner)) {
    owner = as_owner(evidence.process, *here);
    owner.where = here == &waiter ? LockOwner::Where::kItself : LockOwner::Where::kHere;
    return owner;
  }
  const bool waits_first = &waiter == &evidence.process.threads.front();
  const ThreadEvidence* forker = forking_thread(evidence);
  for (std::size_t i = 0; i < evidence.ancestors.size(); ++i) {
    const ProcessEvidence& ancestor = evidence.ancestors[i];
    const ThreadEvidence* there = by_own_tid(ancestor, lock.owner);
    const ProcessEvidence& copy = i == 0 ? evidence.process : evidence.ancestors[i - 1];
    if (there == nullptr || !is_older(*there, copy)) continue;
    if (there == forker) return held_by_forker(evidence, waiter, *forker);
    // It may be the one that forked, and live on as the first thread here.
    if (i == 0 && forker == nullptr && !waits_first) return owner;
    owner = as_owner(ancestor, *there);
    owner.where = LockOwner::Where::kAncestor;
    return owner;
  }
  if (was_forker_of_core(evidence, lock.owner)) {
    owner = as_owner(evidence.process, evidence.process.threads.front());
    owner.where = waits_first ? LockOwner::Where::kItself : LockOwner::Where::kHere;
    if (!waits_first) return owner;
    owner.pid = evidence.process.parent;
    owner.tid = lock.owner;
    return owner;
  }
  owner.tid = lock.owner;
  // The same goes for one that has ended in the parent since.
  const bool gone = evidence.process.all_threads && (waits_first || forker != nullptr);
  owner.where = gone ? LockOwner::Where::kGone : LockOwner::Where::kUnknown;
  return owner;
}

}  // namespace

const Frame* innermost_program_frame(const std::vector<Frame>& stack) {
  for (const Frame& frame : stack)
    if (!is_libc_module(frame.module) && !is_standard_library(frame) && !frame.module.empty())
      return &frame;
  return nullptr;
}

const Frame* called_libc_function(const std::vector<Frame>& stack) {
  const Frame* called = nullptr;
  for (const Frame& frame : stack) {
    if (!is_libc_module(frame.module)) break;
    if (!frame.function.empty()) called = &frame;
  }
  return called;
}

std::string name_stem(const std::string& name) {
  const std::size_t end = name.find_last_not_of("0123456789");
  return end == std::string::npos ? name : name.substr(0, end + 1);
}

const ThreadEvidence* forking_thread(const Evidence& evidence) {
  if (evidence.ancestors.empty() || evidence.process.threads.empty()) return nullptr;
  const ProcessEvidence& parent = evidence.ancestors.front();
  if (evidence.forker_own_tid != 0) {
    const ThreadEvidence* forker = by_own_tid(parent, evidence.forker_own_tid);
    if (forker != nullptr && is_older(*forker, evidence.process)) return forker;
  }
  const ThreadEvidence& first = evidence.process.threads.front();
  if (!first.call) return nullptr;
  const Mapping* stack = mapping_at(parent, first.call->sp);
  if (stack == nullptr) return nullptr;
  if (stack->path == "[stack]") return &parent.threads.front();
  const ThreadEvidence* found = nullptr;
  for (const ThreadEvidence& thread : parent.threads) {
    if (!thread.call || thread.call->sp < stack->start || thread.call->sp >= stack->end) continue;
    if (found != nullptr) return nullptr;  // several stacks in one mapping
    found = &thread;
  }
  return found;
}

std::vector<const ThreadEvidence*> lost_threads(const Evidence& evidence) {
  std::vector<const ThreadEvidence*> lost;
  if (evidence.ancestors.empty()) return lost;
  const ThreadEvidence* forker = forking_thread(evidence);
  for (const ThreadEvidence& thread : evidence.ancestors.front().threads)
    if (&thread != forker && is_older(thread, evidence.process)) lost.push_back(&thread);
  // One of them forked, though it cannot be told which.
  if (forker == nullptr && lost.size() == 1) lost.clear();
  return lost;
}

bool is_ownerless_lock(const ThreadView& view) {
  // Of Python's locks what the program makes of them is not known.
  const bool taken = view.known.purpose == Purpose::kTaken && view.known.certain &&
                     view.thread->python.empty();
  if ((!view.must_be_released() && !taken) || view.lock.owner != 0) return false;
  return view.owner.where == LockOwner::Where::kUnknown;
}

std::vector<ThreadView> view_threads(const Evidence& evidence) {
  const ProcessEvidence& process = evidence.process;
  const EvidenceMemory memory(process.memory);
  std::vector<ThreadView> views;
  for (const ThreadEvidence& thread : process.threads) {
    ThreadView view;
    view.thread = &thread;
    view.wait = wait_of(thread, process.abi);
    if (view.wait.kind == WaitKind::kRunning || view.wait.kind == WaitKind::kTime)
      view.reach = Reach::kItself;
    if (view.wait.futex) {
      WaitHint hint = hint_of(thread.stack);
      hint.address_module = data_module(process, view.wait.futex->address);
      view.lock = recognise(*view.wait.futex, memory, process.abi, process.libc, hint);
      if (view.lock.family == LockFamily::kAbseil && thread.queued_on != 0)
        view.lock.address = thread.queued_on;
      // What the bytes merely do not exclude is no ground for a name or a verdict.
      view.family = view.lock.confidence >= Confidence::kLikely
                        ? view.lock.family
                        : family_of_call(called_libc_function(thread.stack));
      view.reach = reach_of(*view.wait.futex, process);
      const bool raw = !thread.stack.empty() && thread.stack.front().function == "syscall";
      view.known = known_wait(thread.stack, thread.python, raw);
      // A lock that has its owner in its words is described by those.
      if (!is_owned(view.family) && !view.known.type.empty()) view.lock.type = view.known.type;
      if (view.lock.held && view.lock.confidence >= Confidence::kLikely)
        view.owner = owner_of(evidence, thread, view.lock);
    }
    views.push_back(std::move(view));
  }
  return views;
}

}  // namespace forkscope
