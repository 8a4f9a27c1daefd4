#include "detector/inspect/wait_links.hpp"

#include <algorithm>
#include <span>
#include <utility>

#include "detector/inspect/link_search.hpp"

namespace forkscope {
namespace {

using namespace links;

constexpr std::size_t kMostThreads = 64;
constexpr std::uint64_t kMostStack = 64 << 10, kRememberedStack = 16 << 10,
                        kWholeStack = 1 << 20;
/// At the top of a thread's stack lies its descriptor, struct pthread: the stack's frames end below.
constexpr std::uint64_t kDescriptor = 0xa00;

/// The thread of the process that runs on the stack that a lost one had.
const ThreadEvidence* successor(const ProcessEvidence& process, const ThreadEvidence& lost) {
  const Mapping* stack = lost.call ? mapping_at(process, lost.call->sp) : nullptr;
  if (stack == nullptr) return nullptr;
  const auto at = std::find_if(process.threads.begin(), process.threads.end(),
                               [&](const ThreadEvidence& thread) {
                                 return thread.call && thread.call->sp >= stack->start &&
                                        thread.call->sp < stack->end;
                               });
  return at != process.threads.end() ? &*at : nullptr;
}

/// From which address on all words of a thread's stack are its own. A thread that was born in the child on
/// the stack of a lost one leaves in place what it has not overwritten; where both do the same work,
/// the same words may be written anew.
std::uint64_t own_words_from(const Evidence& evidence, const ThreadEvidence& thread,
                             const Mapping& stack) {
  for (const ThreadEvidence* lost : lost_threads(evidence)) {
    if (successor(evidence.process, *lost) != &thread) continue;
    const bool known = lost->start_routine && thread.start_routine;
    const bool same_work = !known || lost->start_routine->address == thread.start_routine->address;
    return same_work ? 0 : stack.end - std::min(stack.end - stack.start, kDescriptor);
  }
  return 0;
}

/// Of the thread that came out of the fork: the frames in which it has done anything since. Those
/// further out are as in the thread that forked: what they called has not returned.
std::span<const Frame> frames_since_fork(const Evidence& evidence, const ThreadEvidence& thread) {
  const std::span<const Frame> frames = thread.stack;
  const ThreadEvidence* forker = forking_thread(evidence);
  if (&thread != &evidence.process.threads.front() || forker == nullptr) return frames;
  std::size_t shared = 0;
  while (shared < frames.size() && shared < forker->stack.size() &&
         frames[frames.size() - 1 - shared].address ==
             forker->stack[forker->stack.size() - 1 - shared].address)
    ++shared;
  return frames.first(frames.size() - shared);
}

std::vector<std::uint64_t> code_of(std::span<const Frame> frames) {
  std::vector<std::uint64_t> code;
  for (const Frame& frame : frames) code.push_back(frame.address - 1);
  return code;
}

/// The lost threads as candidates. Stacks that threads of the child were given since are in the
/// parent as they were, or newer.
std::vector<Candidate> lost_candidates(const LinkSearch& search, const Evidence& evidence) {
  std::vector<Candidate> threads;
  const std::vector<const ThreadEvidence*> lost = lost_threads(evidence);
  for (std::size_t i = 0; i < lost.size() && i < kMostThreads; ++i) {
    const ThreadEvidence& thread = *lost[i];
    const Wait wait = wait_of(thread, evidence.process.abi);
    if (search.waits_there(wait)) continue;
    const bool reused = successor(evidence.process, thread) != nullptr;
    const bool there = thread.call && (!reused || search.has_parent());
    const Mapping* stack = there ? mapping_at(evidence.process, thread.call->sp) : nullptr;
    const Object words =
        stack != nullptr
            ? Object{thread.call->sp, std::min(stack->end, thread.call->sp + kMostStack)}
            : Object{};
    // From main() calls lead everywhere.
    const bool first = &thread == &evidence.ancestors.front().threads.front();
    threads.push_back({thread.tid, words, reused, 0, code_of(thread.stack), first ? 0 : kCalls,
                       wait.futex && wait.for_ever});
  }
  return threads;
}

}  // namespace

std::vector<WaitLink> wait_links(const LinkMemory& memory, const Evidence& evidence,
                                 const std::vector<LeftThread>& left, Namer& namer) {
  LinkSearch search(memory, evidence, namer, Whose::kLost);
  std::vector<Candidate> threads = lost_candidates(search, evidence);
  const bool none = lost_threads(evidence).empty();
  for (std::size_t i = 0; none && i < left.size() && i < kMostThreads; ++i) {
    const LeftThread& thread = left[i];
    const Mapping* stack = mapping_at(evidence.process, thread.descriptor);
    if (stack == nullptr) continue;
    threads.push_back(
        {thread.own_tid,
         {std::max(stack->start, thread.descriptor - kRememberedStack), thread.descriptor},
         false,
         0,
         {thread.start_routine}});
  }
  search.look(threads);
  return std::move(search.links);
}

std::optional<std::vector<WaitLink>> living_links(const LinkMemory& memory,
                                                  const Evidence& evidence, Namer& namer) {
  const std::vector<ThreadEvidence>& threads = evidence.process.threads;
  if (threads.size() < 2 || threads.size() > kMostThreads) return std::nullopt;
  if (LinkSearch(memory, evidence, namer, Whose::kLiving).done()) return std::nullopt;
  std::vector<WaitLink> links;
  for (const ThreadEvidence& thread : threads) {
    if (!thread.call) return std::nullopt;
    // Each for itself: what one is not to be blamed for, another may be.
    LinkSearch search(memory, evidence, namer, Whose::kLiving);
    search.leave_out_wait_of(thread);
    const Mapping* stack = mapping_at(evidence.process, thread.call->sp);
    if (stack == nullptr) return std::nullopt;
    if (search.done()) continue;
    // To its end: what a thread was started with stands in glibc's descriptor, above its stack.
    const std::uint64_t sp = thread.call->sp;
    const std::span<const Frame> frames = frames_since_fork(evidence, thread);
    std::vector<std::uint64_t> code = code_of(frames);
    if (!thread.stack_complete) search.add_return_addresses({sp, stack->end}, code);
    if (!search.can_look_at(code)) return std::nullopt;
    search.look({{thread.tid,
                  {sp, std::min(stack->end, sp + kWholeStack)},
                  false,
                  own_words_from(evidence, thread, *stack),
                  std::move(code),
                  kCalls,
                  false,
                  search.may_call_back(thread, frames)}});
    links.insert(links.end(), search.links.begin(), search.links.end());
    // What was not looked at may know of any of them.
    if (!search.done() && search.exhausted()) return std::nullopt;
  }
  return links;
}

}  // namespace forkscope
