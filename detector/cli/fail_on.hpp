// --fail-on: which findings make a run fail. Pure; thread-safe.
#pragma once

#include <set>
#include <string>

#include "detector/verdict/report.hpp"

namespace forkscope::cli {

/// How grave a finding is to who decides whether a build passes, the gravest first. A hang that is
/// only probable has the severity of a hazard, but is no risk like one: a child does not go on.
enum class Gravity { kDeadlock, kProbable, kLatent, kHazard, kNote };

Gravity gravity_of(const Finding& finding);

/// What makes a run fail; empty: nothing does.
using FailOn = std::set<Gravity>;

/// "latent": this and what is graver. "only:latent,note": these and nothing else. Of several words
/// without "only:" the mildest decides, as it does alone. Gives what is wrong, as a sentence, or
/// nothing; then `wanted` is set.
std::string parse_fail_on(const std::string& text, FailOn& wanted);

/// This and what is graver.
FailOn and_graver(Gravity mildest);

/// Whether the report has a finding of these that no baseline accepts.
bool fails(const Report& report, const FailOn& on);

}  // namespace forkscope::cli
