// From evidence to findings: what the tracker recorded, and locks that forks orphaned untouched.
// Pure but for Namer and Unwinder; not thread-safe because those are not.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/outcomes.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

/// A finding before equal ones are merged.
struct Candidate {
  Finding finding;
  std::uint64_t time = 0;
  /// What else tells it from others of the same kind, lock and sites (fingerprint_of): no addresses.
  std::string aspect{};
};

/// Session, names and indices the makers of findings share.
struct Context {
  const Session& session;
  AddressSpaces& spaces;
  std::map<std::uint64_t, const ForkRecord*> fork_by_id;
  std::map<std::uint64_t, record::Outcome> outcomes;  ///< of findings
  const std::vector<ChildOutcome>& children;          ///< one for each of session.forks
  /// Indices of session.forks by the pid of their child, in the order of recording.
  std::map<std::int32_t, std::vector<std::size_t>> forks_of_child;
  /// Fork ids and addresses of locks that a finding from outside is about.
  std::set<std::pair<std::uint64_t, std::uint64_t>> watched_locks{};
  /// Children that came by the call site of a finding, by Finding::id: only the first wrote it.
  std::map<std::uint64_t, std::uint64_t> children_of_site{};
  std::map<std::uint64_t, std::string> declared_safe{};  ///< reasons, by fork id
  /// By process and address, in the order of recording.
  std::map<std::pair<std::int32_t, std::uint64_t>, std::vector<const LockNameRecord*>> lock_names{};
};

/// One for each record::Finding.
std::vector<Candidate> recorded_findings(const Context& context, const Unwinder& unwind);

/// The same for a record that the tracker would have written, had it known all.
Candidate finding_of(const FindingRecord& record, const Context& context, const Unwinder& unwind);

/// Function-local statics that a thread of the parent and the child initialise, each for itself.
std::vector<Candidate> latent_statics(const Context& context, const Unwinder& unwind);

/// Locks that other threads held at a fork whose child did not exec, and that no recorded finding
/// is about. `outcomes` has an entry for each of session.forks.
std::vector<Candidate> untouched_orphans(const Context& context,
                                         const std::vector<ChildOutcome>& outcomes);

/// Forks by which no at-fork handler ran, in processes with threads, whose child did not exec.
std::vector<Candidate> fork_bypasses(const Context& context,
                                     const std::vector<ChildOutcome>& outcomes);

/// Gravest first, then in order of time; those of one fingerprint and severity are one, with their
/// count. Fingerprints are set.
std::vector<Finding> merged(std::vector<Candidate> candidates);

/// Of forks that the program declares safe: the reason is added, hazards and latent ones become
/// notes. What is proven, or was seen to hang, stays what it is.
void mark_declared_safe(std::vector<Candidate>& candidates, const Context& context);

/// What was injected: seed, specifications, and what became of each.
void report_injections(Report& report, const Context& context, const RunFacts& facts);

/// Gives a lock the name that the process of `meta` had written down for it before that record.
void name_lock(LockInfo& lock, const Context& context, const RecordMeta& meta);

/// A lock of a fork's list.
LockInfo held_lock(const record::HeldLock& held, const AddressSpace& space);

ThreadReport thread_report(const record::ThreadInfo& info, const AddressSpace& space);

}  // namespace forkscope
