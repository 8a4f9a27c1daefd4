// What the command saw of a process the moment it wrote a finding, joined with that finding.
// Pure but for the Namer; not thread-safe because that is not.
#pragma once

#include <vector>

#include "detector/verdict/findings.hpp"

namespace forkscope {

/// Names the stacks of those that are not named yet.
void name_looks(std::vector<FirstLook>& looks, Namer& namer);

/// Gives each finding what facts.looks has of it.
void join_looks(std::vector<Candidate>& candidates, const RunFacts& facts, Namer& namer);

/// What the Python code that waits makes of a lock of CPython's, which C functions alone do not tell.
void correct_kind(Finding& recorded);

/// Where in a child's Python stack its fork was: from the innermost function that forks on. Empty
/// when it has returned from that.
std::vector<PythonFrame> python_fork_stack(const std::vector<PythonFrame>& waiter);

}  // namespace forkscope
