// What happens around a fork: the site before it, the snapshot in the child, the count in the
// parent.
//
// Called by the fork wrappers and by the at-fork handlers, whichever comes first; each step is
// idempotent within one fork. Async-signal-safe.
#pragma once

#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope {

/// Before the system call: keeps who forks, how and from where.
void fork_begin(record::Api api, const void* return_address);
/// In the child, first thing: it has lost all other threads, and its memory is the exact state at
/// the system call. Writes the Fork record.
void fork_in_child();
/// In the parent; `error` is 0 or an errno value. Called once per fork_begin().
void fork_in_parent(int error);
/// The same without error, for a fork begun as `api` only: an at-fork handler does not know whether
/// the call failed, the wrapper does.
void fork_in_parent_if(record::Api api);

/// For children whose memory is shared or replaced (vfork, posix_spawn, clone with CLONE_VM): no
/// lock can be orphaned, the record only counts them. `child` is 0 where its pid is not known, `id`
/// where it has none yet. Gives the fork's id.
std::uint64_t note_spawn(record::Api api, std::int32_t child, const void* return_address,
                         std::uint64_t id = 0);
void note_spawn_failed(record::Api api, int error, std::uint64_t id = 0);

/// The Fork record of a probe's child, which fork_in_child() does not write.
void write_fork_of_probe(const ThreadRecord& self);

/// What is known of a thread, for a record.
record::ThreadInfo thread_info(const ThreadRecord& thread);

/// Locks held by threads other than the forking one, and by itself, as the last fork found them.
/// Valid in a forked child until it forks again; for tests and for the Fork record.
struct ForkHeld {
  const record::HeldLock* locks;
  std::uint32_t count;
  std::uint32_t total;  ///< also those that did not fit
};
ForkHeld last_fork_held();

/// `lock` was initialised or destroyed: says so in this process's Fork record, if it is one of those.
/// Async-signal-safe.
void note_repaired(const void* lock);

}  // namespace forkscope
