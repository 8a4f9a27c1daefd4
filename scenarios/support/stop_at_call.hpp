// A thread that stops in the middle of a function of libc (or of any library) that has no place of
// its own to stop at: at its next system call of one number, made by whatever code it is inside of.
//
// A seccomp filter of that thread alone turns the call into SIGSYS; the handler comes to the pause,
// then makes the call itself, which the filter knows by a cookie in an argument that the kernel
// does not look at. Nothing is replaced, so the function holds the locks it always holds there.
//
// x86-64; elsewhere, and where filters are not allowed, the constructor throws Skipped. Made and
// used in one thread; a child that another thread forks has no filter.
#pragma once

#include "scenarios/support/pause.hpp"

namespace forkscope::scenario {

/// The calling thread comes to the pause once, at its next system call of this number.
void stop_at_next_call(long number, Pause& pause);

}  // namespace forkscope::scenario
