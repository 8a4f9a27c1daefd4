// What a sandbox that the program has put itself into forbids this library, which must not need it.
//
// A call that the kernel would answer with SIGSYS or SIGKILL ends a program that never made it, and
// a read of the processor's counter ends one that gave the counter up. So the library learns of
// both where the program asks for them (preload/sandbox.cpp), keeps a copy of every seccomp filter,
// and asks those before each call of its own (sys::call). What it cannot ask it takes for unknown.
// Counted for the whole process, though the kernel does for each thread. A filter that was there
// before the program began is not known: no system call tells it. (No program begins without the
// counter, though exec would keep that: glibc's loader reads it.)
//
// Thread-safe, async-signal-safe, fork-safe: lists only grow.
#pragma once

#include <linux/filter.h>

#include <cstdint>

namespace forkscope::confinement {

/// PR_TSC_SIGSEGV, which SECCOMP_MODE_STRICT brings along: for good, as times before and after
/// would not go together. Before the call.
void give_up_counter();

/// SECCOMP_MODE_STRICT: nothing but read, write and the end. False takes it back.
void be_strict(bool now);

struct Filter;
/// A seccomp filter that the program is about to put on. Null where `program` is none the kernel
/// would take. remove() where it did not take it after all.
Filter* add(const sock_fprog* program);
void remove(Filter& filter);

/// Whether a program started from here, under the same filters, may have this library along: the
/// filters are not known to it.
bool lets_library_start();

}  // namespace forkscope::confinement
