// Locks that a fork orphaned and that the child, as far as is known, never touched: hazards.
#include <algorithm>
#include <set>
#include <span>
#include <string>
#include <tuple>
#include <utility>

#include "detector/record/held_lock.hpp"
#include "detector/verdict/cures.hpp"
#include "detector/verdict/explain.hpp"
#include "detector/verdict/findings.hpp"
#include "detector/verdict/handlers.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

/// What identifies a hazard before anything is named: sessions can have many thousand forks.
/// The stack of the fork counts, as a rule may suppress what comes of one and not of another; so do
/// the modules, for another may come to lie at the addresses of one.
using Site = std::tuple<std::uint32_t, std::uint64_t, std::uint64_t, std::uint64_t, std::string,
                        std::string, std::string>;  // image, lock, caller, fork stack, declared
                                                    // safe, the lock's module, the caller's

std::uint64_t hash_of(std::span<const std::uint64_t> stack) {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (std::uint64_t address : stack) hash = (hash ^ address) * 0x100000001b3u;
  return hash;
}

/// Locks of the forking thread itself are those its at-fork handlers took to protect them. A lock
/// in shared memory can still be unlocked by its holder in the parent. Who waited for a semaphore
/// last may be a consumer as well as its holder: without a child that waits that says nothing. Of one
/// that the child has set up anew nobody is the holder.
bool is_orphaned(const record::HeldLock& held, const record::Fork& fork) {
  return !held.self && held.owner != fork.parent_tid && held.reserved != record::kRepairedInChild &&
         !(held.flags & (record::kLockShared | record::kLockEvidence));
}

std::string module_of(std::uint64_t address, const AddressSpace& space) {
  const ModuleRecord* module = space.module_at(address);
  return module == nullptr ? std::string() : module->path;
}

const record::ThreadInfo* thread_of(const ForkRecord& fork, std::int32_t tid) {
  const auto found = std::find_if(fork.threads.begin(), fork.threads.end(),
                                  [&](const record::ThreadInfo& t) { return t.tid == tid; });
  return found == fork.threads.end() ? nullptr : &*found;
}

Candidate candidate_of(const ForkRecord& fork, const record::HeldLock& held,
                       const ChildOutcome& outcome, const Context& context) {
  const AddressSpace& space = context.spaces.of(fork.meta);
  Candidate candidate;
  candidate.time = fork.meta.time;
  Finding& finding = candidate.finding;
  finding.kind = kind_word(record::Kind::kOrphanedLock);
  finding.severity = severity_word(record::Severity::kHazard);
  finding.process = outcome.child;
  finding.program = base_name(space.executable());
  finding.fork = fork.fork.id;
  finding.evidence = evidence_word(held);
  finding.lock = held_lock(held, space);
  name_lock(finding.lock, context, fork.meta);
  finding.holder.tid = held.owner;
  if (const record::ThreadInfo* thread = thread_of(fork, held.owner)) {
    finding.holder.name = thread_name(thread->name);
    finding.holder.start = space.function(thread->start);
    finding.holder.exited = thread->state == record::ThreadState::kExited;
  }
  finding.holder.acquired = space.stack({&held.caller, 1});
  finding.fork_stack = space.stack({fork.fork.stack, fork.fork.frames});
  const OrphanFacts facts{
      fork, held, finding.lock, finding.holder.name, finding.holder.exited, outcome.end};
  finding.verdict = verdict_of(facts);
  finding.explanation = explanation_of(facts);
  if (const auto handler =
          silent_child_handler(finding.lock, finding.holder.acquired, fork, context, space)) {
    finding.severity = severity_word(record::Severity::kNote);
    finding.explanation += " " + perhaps_repaired_words(*handler);
  }
  CureFacts cure =
      cure_facts_of(finding, space.executable(), record::Kind::kOrphanedLock);
  cure.lock_type = held.type;
  finding.cure = cure_for(cure);
  return candidate;
}

}  // namespace

std::vector<Candidate> untouched_orphans(const Context& context,
                                         const std::vector<ChildOutcome>& outcomes) {
  auto touched = context.watched_locks;  // fork id, lock
  for (const FindingRecord& record : context.session.findings) {
    touched.emplace(record.finding.fork, record.finding.lock);
    touched.emplace(record.finding.fork, record.finding.wait_mutex);
  }
  std::vector<Candidate> candidates;
  std::map<Site, std::size_t> known;
  for (std::size_t i = 0; i < context.session.forks.size(); ++i) {
    const ForkRecord& fork = context.session.forks[i];
    if (memory_of(fork.fork.api) == record::ChildMemory::kFresh ||
        outcomes[i].end == ChildEnd::kExec)
      continue;
    const auto reason = context.declared_safe.find(fork.fork.id);
    const std::string declared = reason == context.declared_safe.end() ? "" : reason->second;
    for (const record::HeldLock& held : fork.held) {
      if (!is_orphaned(held, fork.fork) || touched.count({fork.fork.id, held.address})) continue;
      const AddressSpace& space = context.spaces.of(fork.meta);
      const auto [entry, is_new] = known.emplace(
          Site{fork.meta.image, held.address, held.caller,
               hash_of({fork.fork.stack, fork.fork.frames}), declared,
               module_of(held.address, space), module_of(held.caller, space)},
          candidates.size());
      if (is_new) {
        candidates.push_back(candidate_of(fork, held, outcomes[i], context));
      } else {
        ++candidates[entry->second].finding.count;
      }
    }
  }
  return candidates;
}

}  // namespace forkscope
