// Parts of a finding that its brief form and its whole one have in common. Pure functions;
// thread-safe. Internal to report/.
#pragma once

#include <string>

#include "detector/report/print.hpp"

namespace forkscope {

/// What the blocks of a kind are called.
struct FindingLabels {
  const char* object = "lock";
  const char* holder = "held by";
  const char* acquired = "acquired at";
};

FindingLabels labels_of(const Finding& finding);

/// "child waits at", "handler takes it at", ...
std::string waiter_label(const Finding& finding);

/// The sentence that says it all, after "forkscope: ".
std::string headline_line(const Finding& finding, const TextOptions& options);

/// "DEADLOCK in process 4711: lost-thread, v1-0123456789abcdef [and 3 more like it]".
std::string class_line(const Finding& finding, const TextOptions& options);

/// Who waits and where: a line or two, in the terms of who wrote the program.
std::string brief_waiter(const Finding& finding, const TextOptions& options);

/// What it waits for, who had it and where, where the fork was, the cure: the rest, likewise.
std::string brief_body(const Finding& finding, const TextOptions& options);

/// What the program says of the fork, and whether that was so; empty when it says nothing.
std::string declared_words(const Finding& finding);

/// What became of the process, a clause; empty when the headline says it.
std::string end_words(const Finding& finding);

}  // namespace forkscope
