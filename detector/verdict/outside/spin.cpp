#include "detector/verdict/outside/spin.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <string_view>

#include "detector/record/module_kind.hpp"
#include "detector/verdict/address_space.hpp"
#include "detector/verdict/cures.hpp"
#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "detector/verdict/outside/scene.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMaxNamed = 3;

/// What a loop may call between two looks: it gives the processor away for a while.
bool gives_way(const Frame& frame) {
  static constexpr std::string_view kNames[] = {"sched_yield", "thrd_yield",      "pthread_yield",
                                                "nanosleep",   "clock_nanosleep", "usleep",
                                                "syscall"};
  std::string_view name = frame.function;
  while (name.starts_with("_")) name.remove_prefix(1);
  name = name.substr(0, name.find_first_of("@("));
  return std::find(std::begin(kNames), std::end(kNames), name) != std::end(kNames) ||
         is_standard_library(frame);
}

bool is_spin_lock(const Frame& frame) {
  return frame.function.find("pthread_spin_lock") != std::string::npos;
}

/// Functions without a name are told apart by their place: few waiting loops are longer than this.
constexpr std::uint64_t kNamelessSpan = 2048;
constexpr std::size_t kOutliers = 10;  ///< one of so many samples may be of something else

/// Where in a stack, as indexes from its outer end: what lies outside of the loop's function is the
/// same in all samples.
using Depth = std::size_t;

const Frame& at_depth(const std::vector<Frame>& stack, Depth depth) {
  return stack[stack.size() - 1 - depth];
}

bool same_function(const Frame& a, const Frame& b) {
  if (a.module != b.module) return false;
  if (!a.function.empty() || !b.function.empty()) return a.function == b.function;
  return (a.address > b.address ? a.address - b.address : b.address - a.address) < kNamelessSpan;
}

/// How many frames two stacks share from their outer end, by address.
Depth shared_frames(const std::vector<Frame>& a, const std::vector<Frame>& b) {
  Depth depth = 0;
  while (depth < a.size() && depth < b.size() &&
         at_depth(a, depth).address == at_depth(b, depth).address)
    ++depth;
  return depth;
}

/// The samples that are in the loop most of them are in, and that loop's function.
struct Loop {
  std::vector<const SpinSample*> samples;
  const Frame* function = nullptr;
  const Frame* caller = nullptr;
};

bool may_loop(const Frame& frame) {
  return !frame.module.empty() && !gives_way(frame) &&
         (!is_libc_module(frame.module) || is_spin_lock(frame));
}

/// The innermost function that may loop of the frames from `outermost` inwards. What is inlined into
/// a function comes before it.
const Frame* looping_frame(const std::vector<Frame>& stack, Depth shared) {
  const std::size_t common = std::min(shared, stack.size() - 1);
  for (Depth depth = common + 1; depth-- > 0;) {
    const Frame& frame = at_depth(stack, depth);
    if (!frame.inlined && may_loop(frame)) return &frame;
  }
  return nullptr;
}

std::optional<Loop> loop_of(const std::vector<SpinSample>& samples) {
  const std::size_t enough = samples.size() - samples.size() / kOutliers;
  // Any sample may be the outlier, but not two in a row of the first three.
  for (std::size_t first = 0; first < 3 && first < samples.size(); ++first) {
    const std::vector<Frame>& model = samples[first].stack;
    if (model.empty()) continue;
    // As many frames as all but the outliers share.
    std::vector<Depth> shared;
    for (const SpinSample& sample : samples) shared.push_back(shared_frames(model, sample.stack));
    std::vector<Depth> sorted = shared;
    std::sort(sorted.rbegin(), sorted.rend());
    const Depth common = sorted[enough - 1];
    const Frame* function = looping_frame(model, common);
    if (function == nullptr) continue;
    const Depth at = model.size() - 1 - std::size_t(function - model.data());
    Loop loop;
    loop.function = function;
    if (at > 0) loop.caller = &at_depth(model, at - 1);
    for (std::size_t i = 0; i < samples.size(); ++i) {
      const std::vector<Frame>& stack = samples[i].stack;
      if (shared[i] >= at && stack.size() > at && same_function(at_depth(stack, at), *function))
        loop.samples.push_back(&samples[i]);
    }
    if (loop.samples.size() >= enough) return loop;
  }
  return std::nullopt;
}

/// What the samples say of the work the loop does.
enum class Work {
  kSome,    ///< or not enough of them can be compared
  kCounts,  ///< one register has numbers that are no addresses, and nothing else changes
  kNone,    ///< nothing changes
};

bool is_address(const ProcessEvidence& process, std::uint64_t value) {
  return std::any_of(
      process.mappings.begin(), process.mappings.end(),
      [&](const Mapping& mapping) { return value >= mapping.start && value < mapping.end; });
}

Work work_between(const ProcessEvidence& process, const std::vector<const SpinSample*>& there) {
  const std::vector<std::uint64_t>& model = there.front()->registers;
  if (model.empty()) return Work::kSome;
  std::size_t differ = 0;
  for (std::size_t i = 0; i < model.size(); ++i) {
    bool differs = false, points = false;
    for (const SpinSample* sample : there) {
      differs = differs || sample->registers[i] != model[i];
      points = points || is_address(process, sample->registers[i]);
    }
    if (differs && (++differ > 1 || points)) return Work::kSome;
  }
  return differ == 0 ? Work::kNone : Work::kCounts;
}

/// Of the samples that have another with the same instruction and callers: half of them and more
/// must.
Work work_of(const ProcessEvidence& process, const std::vector<const SpinSample*>& samples) {
  std::map<std::vector<std::uint64_t>, std::vector<const SpinSample*>> places;
  for (const SpinSample* sample : samples) {
    std::vector<std::uint64_t> place{sample->pc};
    for (const Frame& frame : sample->stack) place.push_back(frame.address);
    // In a system call fewer registers are known.
    place.push_back(sample->registers.size());
    places[place].push_back(sample);
  }
  std::size_t compared = 0;
  Work work = Work::kNone;
  for (const auto& [place, there] : places) {
    if (there.size() < 2) continue;
    compared += there.size();
    work = std::min(work, work_between(process, there));
  }
  return compared * 2 >= samples.size() ? work : Work::kSome;
}

/// Of a loop that no lost thread is known to serve: it changes nothing at all, in a process of one
/// thread, and neither a handler nor another process can end it. What it asks for, a thread had
/// that is gone.
bool waits_for_nobody(const Evidence& evidence, Work work, std::size_t samples) {
  const ProcessEvidence& process = evidence.process;
  return work == Work::kNone && samples >= kSpinSamplesAlone && process.threads.size() == 1 &&
         process.shares_memory == false && !process.io_uring && !may_have_handlers(process) &&
         !has_shared_memory(process);
}

/// Started in code of the component. Functions without a name belong to all of their module.
bool starts_in(const std::optional<Frame>& start, const Component& component) {
  if (!start || start->module != component.module) return false;
  const std::string name = namespace_of(start->function);
  return component.name.empty() || start->function.empty() || name == component.name;
}

/// A thread that is there for the component: it began in it, or waits in it.
bool serves(const ThreadEvidence& thread, const Component& component) {
  return runs(thread.stack, component) || starts_in(thread.start_routine, component);
}

/// A thread here, other than the one that spins, does what the lost ones did; or may, for all that is
/// known of it.
bool is_served_here(const ProcessEvidence& process, const Component& component) {
  const auto& threads = process.threads;
  return !threads.empty() &&
         std::any_of(threads.begin() + 1, threads.end(), [&](const ThreadEvidence& thread) {
           return serves(thread, component) || (thread.stack.empty() && !thread.start_routine);
         });
}

bool remembers_threads_of(const Evidence& evidence, const Component& component) {
  const auto& threads = evidence.remembered_threads;
  return std::any_of(threads.begin(), threads.end(), [&](const RememberedThread& thread) {
    return starts_in(thread.start_routine, component);
  });
}

std::string call_of(const Frame& frame) {
  if (frame.function.empty()) return "code of " + base_name(frame.module) + " without a name";
  return frame.function.find('(') == std::string::npos ? frame.function + "()" : frame.function;
}

/// Threads that were not copied. Which of the parent's forked cannot be told from a thread that
/// runs (forking_thread()), but from its stack: the parent's thread on the same one.
std::vector<const ThreadEvidence*> threads_left(const Evidence& evidence, std::uint64_t sp) {
  std::vector<const ThreadEvidence*> left = lost_threads(evidence);
  for (const Mapping& mapping : evidence.process.mappings) {
    if (sp < mapping.start || sp >= mapping.end) continue;
    std::erase_if(left, [&](const ThreadEvidence* thread) {
      return thread->call && thread->call->sp >= mapping.start && thread->call->sp < mapping.end;
    });
  }
  return left;
}

std::string names_of(const std::vector<const ThreadEvidence*>& threads) {
  std::string text;
  for (std::size_t i = 0; i < threads.size() && i < kMaxNamed; ++i)
    text += (i == 0 ? "" : ", ") + thread_words(threads[i]->tid, threads[i]->name);
  if (threads.size() > kMaxNamed) text += fmt::format(" and {} more", threads.size() - kMaxNamed);
  return text;
}

}  // namespace

bool may_spin_for_lost_thread(const Evidence& evidence) {
  return evidence.process.forked.value_or(false) && evidence.process.shares_memory != true &&
         (!lost_threads(evidence).empty() || !evidence.remembered_threads.empty());
}

std::optional<Finding> judge_spin(const Evidence& evidence,
                                  const std::vector<SpinSample>& samples) {
  const ProcessEvidence& process = evidence.process;
  if (!may_spin_for_lost_thread(evidence) || samples.size() < kSpinSamples) return std::nullopt;
  const auto found = loop_of(samples);
  if (!found) return std::nullopt;
  const Work work = work_of(process, found->samples);
  if (work == Work::kSome) return std::nullopt;
  const Frame& loop = *found->function;
  const std::vector<Frame>& stack = found->samples.front()->stack;
  const Component component{loop.module, namespace_of(loop.function)};
  if (is_served_here(process, component)) return std::nullopt;
  std::vector<const ThreadEvidence*> missed;
  const std::vector<const ThreadEvidence*> lost = threads_left(evidence, samples.front().sp);
  for (const ThreadEvidence* thread : lost)
    if (serves(*thread, component)) missed.push_back(thread);
  // The program's own code is on everybody's stack, and its loops may count something.
  if (work == Work::kCounts && !may_miss_threads(component, process.exe)) return std::nullopt;
  const bool served = !missed.empty() || remembers_threads_of(evidence, component);
  if (!served && !is_spin_lock(loop) && !waits_for_nobody(evidence, work, found->samples.size()))
    return std::nullopt;
  // Whoever holds a spin lock may run any code.
  const bool lock = is_spin_lock(loop) || !served;

  Finding finding;
  finding.kind = kind_word(lock ? record::Kind::kOrphanedLock : record::Kind::kLostThread);
  finding.severity = severity_word(record::Severity::kHazard);
  finding.certainty = "probable";
  finding.evidence = "spins";
  finding.process = process.pid;
  finding.program = program_name(process);
  const std::int32_t tid = process.threads.empty() ? process.pid : process.threads.front().tid;
  const std::string name = process.threads.empty() ? "" : process.threads.front().name;
  const std::string place = is_spin_lock(loop) && found->caller != nullptr
                                ? call_of(*found->caller)
                                : call_of(loop);
  const std::string who =
      missed.empty() ? "threads of " + component.words() : names_of(missed);
  finding.verdict =
      lock ? fmt::format(
                 "{} spins for a spin lock in {}, probably for ever: a thread that was not "
                 "copied holds it",
                 thread_words(tid, name), place)
           : fmt::format(
                 "{} spins in {}, probably for ever: what it waits for would have been done by a "
                 "thread that was not copied: {}",
                 thread_words(tid, name), place, who);
  finding.waiter.tid = tid;
  finding.waiter.stack = stack;
  for (const ThreadEvidence* thread : lost) finding.lost.push_back(lost_report(*thread, process.abi));
  finding.explanation = fmt::format(
      "It was always ready to run, and {} looks of {} found it in {}, called from the same place, "
      "with the same registers whenever the instruction was the same: the loop computes nothing, it "
      "waits. {} That is no proof: another process could change memory that is shared.",
      found->samples.size(), samples.size(), call_of(loop),
      lock || missed.empty()
          ? "When it was forked, other threads lived, which were not copied."
          : fmt::format("{} of the process it was copied from {} code of {} and {} not copied.",
                        capitalised(who), missed.size() == 1 ? "runs" : "run", component.words(),
                        missed.size() == 1 ? "was" : "were"));
  CureFacts cure = cure_facts_of(
      finding, process.exe, lock ? record::Kind::kOrphanedLock : record::Kind::kLostThread);
  if (lock) cure.lock_type = record::LockType::kSpinlock;
  finding.cure = cure_for(cure);
  finding.outcome = "blocked";
  return finding;
}

}  // namespace forkscope
