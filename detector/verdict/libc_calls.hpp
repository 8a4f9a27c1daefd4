// What is said of a call of libc in the forked child of a process with threads: unsafe-call with
// Evidence::kForkedChild, libc-lock with kInsideCall. Pure functions of detector/record/
// unsafe_calls.def and the evidence; thread-safe.
#pragma once

#include <optional>
#include <string>

#include "detector/record/unsafe_calls.hpp"
#include "detector/verdict/explain.hpp"

namespace forkscope {

/// The function that the finding is about; nothing for findings of other kinds.
std::optional<record::UnsafeCall> libc_call_of(const record::Finding& finding);

struct Context;

/// Who defines the function that such a finding is about; nothing: libc, or it is not known.
std::optional<Definer> definer_of(const FindingRecord& record, const Context& context,
                                  const AddressSpace& space);

/// Finding::libc of such a finding. `definer`: null for libc.
Finding::LibcCall libc_call_report(const record::Finding& finding, const Definer* definer);

std::string libc_call_verdict(const FindingFacts& facts);
std::string libc_call_explanation(const FindingFacts& facts);
/// For programs in C and C++.
std::string libc_call_cure(record::UnsafeCall call);
/// The same by the function's name, also for those that the table has not; empty for the loader's.
std::string libc_call_cure(const std::string& function);

/// "kept" | "reset": what glibc does about the lock in the child of fork().
std::string at_fork_word(record::AtFork at_fork);

/// The call that was warned of has been seen to hang: `hang`, from outside, becomes the one finding
/// with what `warning` knows.
void add_warning(Finding& hang, const Finding& warning);

/// Whether `warning` is of another child that made the same call at the same place, and came out of
/// it: the hang says all of that.
bool says_the_same(const Finding& hang, const Finding& warning);

}  // namespace forkscope
