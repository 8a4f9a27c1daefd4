// fork:probe: at chosen lock operations the library forks by itself, and what hangs in that child
// would have hung in one of the program's own.
//
// Here is when a probe is made, what its child judges, and what is told of it; how a process is
// copied without its program noticing is in preload/probe.cpp, which sets `runner`.
//
//   point()     before a thread waits for a lock: counts, and makes the probe that is due, if the
//               thread is at a place where the program itself could fork
//   learn()     in a child of the program's: a lock that it has taken is one that probes try
//   conclude()  in a probe's child: a call that can never return
//
// A place is fit only where a fork can do no harm that the program would not do itself: the thread
// holds no lock (at-fork handlers may want it), is in no fork, no signal handler and no call of
// libc (which may hold locks of its own): its stack has frames of the program only, up to where
// threads start.
//
// Probes of one process are made one at a time. Lock-free, thread-safe, async-signal-safe, safe in
// forked children; allocates from the kernel only.
#pragma once

#include <atomic>
#include <cstdint>

#include "detector/tracker/finding_writer.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope::inject::probing {

/// A lock that the child found to be held for ever.
struct Hang {
  std::uint64_t lock, holder_caller;
  std::int32_t holder;
  record::LockType type;
  std::uint8_t flags;
  InjectProbed probed;
};
inline constexpr std::uint32_t kMostHangs = 16;

/// What a probe's child tells its parent: in memory that both share.
struct Message {
  std::atomic<std::uint32_t> done;  ///< futex
  std::atomic<std::uint32_t> hangs;
  Hang hang[kMostHangs];
  // What it is at, and which thread that was not copied is inside of a function with the same lock.
  std::atomic<InjectProbed> at;
  std::atomic<record::UnsafeCall> function;
  std::atomic<std::int32_t> holder;
  std::atomic<std::uint64_t> holder_caller;
};

/// One probe, as its parent sees it.
struct Probe {
  Message* message;
  std::uint64_t wait;  ///< nanoseconds that it may take
  enum class End : std::uint8_t {
    kImpossible,  ///< it was not made: `error`
    kNone,        ///< fork() failed: `error`
    kDone,
    kWaits,  ///< wait=T was over, and it sleeps in a futex without a time limit
    kLate,   ///< wait=T was over
    kDied,
  } end;
  int error;
};

/// Makes the probe: returns in the parent only, when the child is no more. Keeps errno.
using Runner = void (*)(ThreadRecord& self, Probe& probe);
extern Runner runner;

/// Where something is to be probed: called once, by the constructor, and in every forked child.
void init();
void in_child();

/// `thread` is about to wait for `lock`.
void point(ThreadRecord& thread, const void* lock, const void* caller);

/// Waits until no probe of this process is going on, but not for ever: what comes next would end
/// the thread that is to reap its child.
void settle();

struct Taken {
  const void* lock;
  record::LockType type;
  std::uint8_t flags;  ///< kLockReader
  record::Call call;
  const void* caller;
};
/// A child of the program that lost threads has taken it.
void learn(const Taken& taken);
/// It has initialised it, given up what it had not taken itself, or had it at the fork: in a child
/// like this one the lock is in order.
void repaired(const void* lock);

// -- in the child of a probe

/// It is about to do this next; false where that hung before, or needs what did. `call`: the
/// function of libc, whose lock another thread may have had.
bool begins(Message& message, InjectProbed what, record::UnsafeCall call);
/// Judges the locks that were learned.
void try_locks(ThreadRecord& self, Message& message);
/// Writes down a deadlock, and gives its finding's id. Does not return where the call is not one of
/// try_locks(): the child can do no more, and ends.
std::uint64_t conclude(const Meeting& meeting);
/// The child is done.
[[noreturn]] void finish(Message& message);
/// In the child: where its message goes.
extern Message* to_parent;

}  // namespace forkscope::inject::probing
