// fork() without SIGCHLD: the child of a probe must be made by libc's own fork(), which repairs
// malloc, stdio and the loader in it, and must not be seen by its parent's program.
//
// Syscall user dispatch (Linux 5.11, Documentation/admin-guide/syscall-user-dispatch.rst): for the
// calling thread alone, system calls come by as SIGSYS between arm() and the fork, and the one that
// copies the process is made with exit signal 0. Such a child sends no signal, and wait() does not
// know it unless asked for __WCLONE.
//
// One thread at a time. Async-signal-safe; every call is a raw one.
#pragma once

#include <cstdint>

namespace forkscope::dispatch {

/// The calling thread's next fork() is to be such a one. Gives 0 or an errno value: then nothing is
/// changed. Signals are blocked until finish(), but those that the processor raises, and SIGSYS.
int prepare();
/// Last thing before the system call, and first thing after it in the parent: the at-fork handlers
/// that run last and first.
void arm();
void disarm();
/// The fork is over, in the parent.
void finish();

/// In the child, first thing: no signal handler of the program's runs from here on.
void in_child();

/// The calling thread is between prepare() and finish().
bool is_prepared();

/// SIGSYS is ours between arm() and disarm(), for some milliseconds: who looks at it waits so long.
void settle_signal(int signal);

}  // namespace forkscope::dispatch
