// Locks of the program's own (forkscope/annotate.h): what can be known of them beside the tables.
//
// Nobody can read whether such a lock is taken; that a thread's table has it as held is all. So two
// things are kept that speak against it: the lock's first bytes as the fork found them (if they
// have changed when the child comes there, somebody has repaired it), and locks that one thread
// took and another released, of which tables say nothing.
//
// Thread-safe, async-signal-safe, safe in a forked child; remember_at_fork() only right after the
// fork, while the child has one thread.
#pragma once

namespace forkscope::custom_locks {

void remember_at_fork(const void* lock);

/// In the child, of a lock that a lost thread's table has: whether it may still be taken.
bool unchanged_since_fork(const void* lock);

/// Released by a thread that had not acquired it.
void note_handed_over(const void* lock);

}  // namespace forkscope::custom_locks
