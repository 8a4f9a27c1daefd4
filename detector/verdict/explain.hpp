// The sentences of a finding: what is wrong, and why nobody can wake the child.
// Pure but for the naming of addresses through AddressSpace.
#pragma once

#include <optional>
#include <string>

#include "detector/verdict/address_space.hpp"
#include "detector/verdict/deaths.hpp"
#include "detector/verdict/outcomes.hpp"
#include "detector/verdict/report.hpp"

namespace forkscope {

/// A library that brings a function of libc's with it: a replaced allocator.
struct Definer {
  std::string module;     ///< path
  bool handlers = false;  ///< it has registered at-fork handlers
};

/// What the sentences are made of.
struct FindingFacts {
  const FindingRecord& record;
  const ForkRecord* fork;  ///< null when its record was lost
  std::optional<record::Outcome> outcome;
  const AddressSpace& space;
  const LockInfo& lock;
  record::Severity severity;   ///< the verdict's, which may be graver or milder than the record's
  std::optional<Death> death;  ///< the process died of it
  const Definer* definer = nullptr;  ///< of the function that was called, null for libc's own
};

/// What a child did with its parent's lock on a file.
enum class FileLockUse { kUnknown, kReleases, kTakes };
FileLockUse file_lock_use(const record::Finding& finding);

/// A clause for the first line: "waits for ever for mutex orders.file_lock".
std::string verdict_of(const FindingFacts& facts);
std::string explanation_of(const FindingFacts& facts);

/// The same for a lock that was orphaned and that the child has not touched.
struct OrphanFacts {
  const ForkRecord& fork;
  const record::HeldLock& held;
  const LockInfo& lock;
  std::string holder_name;
  bool holder_exited;
  ChildEnd child_end;
};
std::string verdict_of(const OrphanFacts& facts);
std::string explanation_of(const OrphanFacts& facts);

}  // namespace forkscope
