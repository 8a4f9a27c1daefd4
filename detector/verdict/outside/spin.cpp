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
#include "detector/verdict/outside/thread_view.hpp"
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

/// The function that loops, as the last of the frames that share its address: what is inlined into
/// it comes before it.
std::optional<std::size_t> looping_frame(const std::vector<Frame>& stack) {
  std::size_t at = 0;
  while (at < stack.size() && !stack[at].inlined && gives_way(stack[at])) ++at;
  while (at < stack.size() && stack[at].inlined) ++at;
  if (at == stack.size() || stack[at].function.empty()) return std::nullopt;
  if (is_libc_module(stack[at].module) && !is_spin_lock(stack[at])) return std::nullopt;
  return at;
}

bool same_callers(const std::vector<Frame>& a, std::size_t a_at, const std::vector<Frame>& b,
                  std::size_t b_at) {
  return std::equal(a.begin() + static_cast<std::ptrdiff_t>(a_at) + 1, a.end(),
                    b.begin() + static_cast<std::ptrdiff_t>(b_at) + 1, b.end(),
                    [](const Frame& x, const Frame& y) { return x.address == y.address; });
}

/// Whether the samples show a loop that changes nothing: half of them and more have another at the
/// same instruction, and none of those has another register.
bool changes_nothing(const std::vector<SpinSample>& samples) {
  std::map<std::uint64_t, std::vector<const SpinSample*>> by_pc;
  for (const SpinSample& sample : samples) by_pc[sample.pc].push_back(&sample);
  std::size_t compared = 0;
  for (const auto& [pc, there] : by_pc) {
    if (there.size() < 2) continue;
    compared += there.size();
    for (const SpinSample* sample : there)
      if (sample->registers.empty() || sample->registers != there.front()->registers) return false;
  }
  return compared * 2 >= samples.size();
}

bool runs_code_of(const ThreadEvidence& thread, const Component& component) {
  return runs(thread.stack, component) ||
         (thread.start_routine && runs({*thread.start_routine}, component));
}

std::string call_of(const std::string& function) {
  return function.find('(') == std::string::npos ? function + "()" : function;
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
  const std::vector<Frame>& stack = samples.front().stack;
  const auto at = looping_frame(stack);
  if (!at) return std::nullopt;
  const Frame& loop = stack[*at];
  for (const SpinSample& sample : samples) {
    const auto there = looping_frame(sample.stack);
    if (!there || sample.stack[*there].function != loop.function ||
        sample.stack[*there].module != loop.module ||
        !same_callers(stack, *at, sample.stack, *there))
      return std::nullopt;
  }
  if (!changes_nothing(samples)) return std::nullopt;
  const Component component{loop.module, namespace_of(loop.function)};
  std::vector<const ThreadEvidence*> missed;
  const std::vector<const ThreadEvidence*> lost = threads_left(evidence, samples.front().sp);
  for (const ThreadEvidence* thread : lost)
    if (runs_code_of(*thread, component)) missed.push_back(thread);
  // Whoever holds a spin lock may run any code.
  const bool lock = is_spin_lock(loop);
  if (missed.empty() && !lock) return std::nullopt;

  Finding finding;
  finding.kind = kind_word(lock ? record::Kind::kOrphanedLock : record::Kind::kLostThread);
  finding.severity = severity_word(record::Severity::kHazard);
  finding.certainty = "probable";
  finding.evidence = "spins";
  finding.process = process.pid;
  finding.program = program_name(process);
  const std::int32_t tid = process.threads.empty() ? process.pid : process.threads.front().tid;
  const std::string name = process.threads.empty() ? "" : process.threads.front().name;
  const std::string place = *at + 1 < stack.size() ? call_of(stack[*at + 1].function) : "";
  finding.verdict =
      lock ? fmt::format(
                 "{} spins for a spin lock in {}, probably for ever: a thread that was not "
                 "copied holds it",
                 thread_words(tid, name), place)
           : fmt::format(
                 "{} spins in {}, probably for ever: what it waits for would have been done by a "
                 "thread that was not copied: {}",
                 thread_words(tid, name), call_of(loop.function), names_of(missed));
  finding.waiter.tid = tid;
  finding.waiter.stack = stack;
  for (const ThreadEvidence* thread : lost) finding.lost.push_back(lost_report(*thread, process.abi));
  finding.explanation = fmt::format(
      "It was always ready to run, and {} looks found it in {}, called from the same place, with "
      "the same registers whenever the instruction was the same: the loop computes nothing, it "
      "waits. {} That is no proof: another process could change memory that is shared.",
      samples.size(), call_of(loop.function),
      lock ? "When it was forked, other threads lived, which were not copied."
           : fmt::format("{} of the process it was copied from {} code of {} and {} not copied.",
                         capitalised(names_of(missed)), missed.size() == 1 ? "runs" : "run",
                         component.words(), missed.size() == 1 ? "was" : "were"));
  CureFacts cure = cure_facts_of(
      finding, process.exe, lock ? record::Kind::kOrphanedLock : record::Kind::kLostThread);
  if (lock) cure.lock_type = record::LockType::kSpinlock;
  finding.cure = cure_for(cure);
  finding.outcome = "blocked";
  return finding;
}

}  // namespace forkscope
