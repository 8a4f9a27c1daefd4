// The command's look at this process: its Python frames, and where the holder is that lives on in
// the parent, can be read from outside only, and only while the process is at the call.
//
// Asked for after a finding was written: a free entry of ArenaHeader::looks is taken, and the
// command woken. A process that is about to end, or to go on, waits for the answer; without a
// command nobody does. Async-signal-safe; safe in a forked child.
#pragma once

#include <cstdint>

namespace forkscope::look {

/// For a process that stays where it is. Does not wait.
void ask(std::uint64_t finding);

/// For one that is about to end, or that is let through. Waits a second at most.
void await_before_end(std::uint64_t finding);

/// For one that goes on, if Python is on the stack of its record: elsewhere that says all. Waits a
/// fifth of a second at most, and in all one second in a process and those it is a copy of, so that
/// a busy machine does not slow down a program that is well so far.
void await_in_python(std::uint64_t finding);

}  // namespace forkscope::look
