// Faults that were asked for (docs/injection.md): which call one is due at, and the record of it.
//
// Nothing here does anything unless FORKSCOPE_OPTIONS asks for it. The lock path has no point of
// its own: where locks matter, every thread's lock calls take the long way for good (lock_points),
// and only that way asks. Whether something is due is decided by counters of the process (nth,
// every) or by a hash of the seed, the injection, and the number of the call among those of its
// thread (p): a thread is known by who created it as its which thread, a process by its arguments
// and forks, so that the same run decides the same.
//
// Lock-free, thread-safe, async-signal-safe, safe in forked children; keeps errno (raw system calls
// only). All of it allocates from the kernel only.
#pragma once

#include <cstdint>

#include "detector/tracker/registry.hpp"

namespace forkscope::inject {

/// Something is asked for; at locks or inside libc.
extern bool armed;
inline bool lock_points() { return detail::lock_points; }

/// From the options. Called once, by the constructor, after the unwinder's first use.
void init(int argc, char** argv);

/// What an injection did, for its record.
struct Did {
  InjectResult result = InjectResult::kDelayed;
  const void* caller = nullptr;  ///< return address of the call
  std::uint64_t fork = 0;
  const void* lock = nullptr;
  record::LockType lock_type = record::LockType::kUnknown;
  std::uint8_t lock_flags = 0;
  std::int32_t holder = 0;
  std::uint64_t holder_caller = 0;
  record::UnsafeCall function = record::UnsafeCall::none;
  int error = 0;
  const ForkSite* site = nullptr;  ///< its stack is taken, instead of a walk from `caller`
  InjectProbed probed = InjectProbed::kNothing;
  std::uint32_t repeat = 0;  ///< see record::Injected
};
/// Injection `index` of the options was applied.
void note(std::uint32_t index, const Did& did);
/// The record alone: the caller has counted it.
void write(std::uint32_t index, const Did& did);

/// Whether injection `index` applies to this call of `thread` (null: unknown). Counts the call.
bool due(std::uint32_t index, ThreadRecord* thread);

/// Calls visit(index, injection) for those with this action.
template <typename Visit>
void each(InjectAction action, Visit&& visit) {
  for (std::uint32_t i = 0; i < process.options.injections; ++i)
    if (process.options.inject[i].action == action) visit(i, process.options.inject[i]);
}

/// The calling thread waits so long, whatever signals arrive.
void sleep(std::uint64_t nanoseconds);
/// Sleeps while `word` is `value`, at most until that time; may return early.
void wait_while(const std::atomic<std::uint32_t>& word, std::uint32_t value, std::uint64_t until);
void wake_all(std::atomic<std::uint32_t>& word);

/// The errno that the call is to fail with, or 0; written down.
int fails(InjectAction action, const void* caller);
/// The same for a call that copies the process.
int fork_fails(record::Api api, const void* caller);

// -- forks, in their order

/// After fork_begin(): delays, and waits for another thread to have the lock that was asked for.
void fork_begins(const void* caller);
/// Immediately before the system call, as far as that can be known.
void before_call();
/// In the parent, first thing after the system call: lets go whom fork_begins() kept.
void call_done();
/// In the child, first thing: of `self`, which was forked.
void in_child(ThreadRecord& self);
/// When the wrapper returns.
void fork_returns(bool child, const void* caller);

// -- threads

/// `made` is about to be created by `creator`.
void new_thread(ThreadRecord& creator, ThreadRecord& made);
/// First thing in a new thread.
void thread_starts(ThreadRecord& thread);

// -- locks, on the long way only

namespace slow {
void taken(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
           const void* caller);
void giving_up(ThreadRecord& thread, const void* lock);
void wants(ThreadRecord& thread, const void* lock);
bool refuses(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
             record::Call call, const void* caller);
void enters(ThreadRecord& thread, record::UnsafeCall call);
void inside(ThreadRecord& thread, const void* caller);
}  // namespace slow

/// The thread has got the lock.
inline void taken(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
                  const void* caller) {
  if (lock_points()) [[unlikely]]
    slow::taken(thread, lock, type, flags, caller);
}
/// It is about to give the lock up: may stay here until another thread has forked.
inline void giving_up(ThreadRecord& thread, const void* lock) {
  if (lock_points()) [[unlikely]]
    slow::giving_up(thread, lock);
}
/// It is about to wait for the lock: if it is forking, whoever was kept for that is let go.
inline void wants(ThreadRecord& thread, const void* lock) {
  if (lock_points()) [[unlikely]]
    slow::wants(thread, lock);
}
/// It is about to call for the lock, by whatever function. True: a try, or a wait with a time limit,
/// is to be told that it failed. Otherwise a probe may be made here (fork:probe), then as wants().
/// `caller` is the call's return address.
inline bool refuses(ThreadRecord& thread, const void* lock, record::LockType type,
                    std::uint8_t flags, record::Call call, const void* caller) {
  return lock_points() && slow::refuses(thread, lock, type, flags, call, caller);
}

// -- inside functions of libc (detector/record/unsafe_calls.def)

/// The thread is about to enter one.
inline void enters(ThreadRecord& thread, record::UnsafeCall call) {
  if (lock_points()) [[unlikely]]
    slow::enters(thread, call);
}
/// It is inside one, which has called back: `caller` says from where.
inline void inside(ThreadRecord& thread, const void* caller) {
  if (lock_points()) [[unlikely]]
    slow::inside(thread, caller);
}

}  // namespace forkscope::inject
