// Threads that wait for a limited time, nap, or look at memory without a pause: none of these is a
// wait without end by itself. What tells which of them are. Pure functions; thread-safe. Internal to
// the rules.
#pragma once

#include <optional>
#include <vector>

#include "detector/verdict/outside/component.hpp"
#include "detector/verdict/outside/scene.hpp"

namespace forkscope::rules {

/// It waits in CPython itself, as Python's locks and everything made of them do.
bool is_python_wait(const ThreadView& view);

/// One of the innermost functions of the program says by its name that it is of a lock.
bool names_lock(const std::vector<Frame>& stack);

/// The loop that the thread is in, if its code does nothing but wait; null without.
const WaitingLoop* waiting_loop_of(const Evidence& evidence, const ThreadView& view);

/// What the loop looks at may lie where another process writes.
bool may_look_at_shared(const Scene& scene, const WaitingLoop& loop);

/// The library that the thread waits in, whose waits are for its own threads: neither the program
/// itself, nor an interpreter, nor a library that is there to wait with.
std::optional<Component> library_of(const Scene& scene, const ThreadView& view);

}  // namespace forkscope::rules
