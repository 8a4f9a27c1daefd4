// fork:while-in: a fork while another thread is inside a function of libc whose lock fork leaves as
// it is.
//
// Nothing can keep a thread from giving up a lock inside libc, but for the calls that libc makes
// back to us while it has it: malloc and its kin, and the function given to dl_iterate_phdr. A
// thread that makes one is kept there until the system call is done ("forced"). Functions that call
// nothing are caught as they come: the forking thread looks, last thing before the system call,
// until some other thread is inside one, and the child, whose copy of that thread's record is
// exact, says whether it was at the system call ("inside"). A thread inside a function that does
// the same when it is called twice calls it again and again until then.
//
// As hold:: in everything else: lock-free, async-signal-safe, every wait has a limit.
#pragma once

#include "detector/tracker/thread_record.hpp"

namespace forkscope::inject::inside_libc {

/// The fork that `self` has begun is to be one.
void ask_for(ThreadRecord& self, std::uint32_t index);
/// Last thing before the system call of that fork: returns when a thread is inside, or none comes.
void begin(ThreadRecord& self);
void end(ThreadRecord& self);
void in_child(ThreadRecord& self);

void enters(ThreadRecord& thread, record::UnsafeCall call);
void inside(ThreadRecord& thread, const void* caller);

/// The calling thread has called this function once: whether it is to call it once more.
bool again(record::UnsafeCall call);

}  // namespace forkscope::inject::inside_libc
