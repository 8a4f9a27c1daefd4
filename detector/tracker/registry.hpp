// All threads of the process, and which one is calling.
//
// Records are never unmapped: a forked child reads those of the threads it lost for as long as it
// lives. Lock-free (a signal handler or a fork at any instruction finds it consistent),
// thread-safe, async-signal-safe. A thread is known from pthread_create on, or from its first
// intercepted call.
#pragma once

#include <pthread.h>

#include "detector/tracker/process.hpp"
#include "detector/tracker/thread_record.hpp"

namespace forkscope {

struct HeldTables;

class Registry {
 public:
  static constexpr std::uint32_t kChunkSize = 16, kChunks = 4096;

  /// A record in state kStarting for a thread about to be created; null when there is no room
  /// (counted), the thread then goes untracked.
  ThreadRecord* allocate();
  void release(ThreadRecord& thread);

  std::uint32_t size() const { return used_.load(std::memory_order_acquire); }
  ThreadRecord* at(std::uint32_t index) const {
    ThreadRecord* chunk = chunks_[index / kChunkSize].load(std::memory_order_acquire);
    return chunk != nullptr ? chunk + index % kChunkSize : nullptr;
  }

  /// Where the records are, for a reader outside: held_tables.hpp.
  static constexpr HeldTables describe(const Registry& registry, const Process& process);

  /// Calls visit(record) for every record in use; stops when it returns false.
  template <typename Visit>
  void each(Visit&& visit) const {
    std::uint32_t count = size();
    for (std::uint32_t i = 0; i < count; ++i) {
      ThreadRecord* thread = at(i);
      if (thread != nullptr && thread->life.load(std::memory_order_acquire) != Life::kFree)
        if (!visit(*thread)) return;
    }
  }

 private:
  std::atomic<ThreadRecord*> chunks_[kChunks] = {};
  std::atomic<std::uint32_t> used_{0};
  /// A record of a thread that ended holding locks, none of which it holds any more: somebody else
  /// has unlocked them. Looks at one record each time.
  ThreadRecord* reclaim();

  std::atomic<std::uint32_t> next_reclaim_{0};
  std::atomic<std::uint64_t> free_{
      0};  ///< index + 1 of the first, with a counter against ABA above
};

extern Registry registry;

/// libc's functions that the registry calls. The constructor looks up those behind this library: a
/// program's own, if it has such, may not be ready (a statically linked sanitizer's).
struct LibcCalls {
  int (*getattr_default)(pthread_attr_t*) noexcept = pthread_getattr_default_np;
  int (*attr_getstacksize)(const pthread_attr_t*,
                           std::size_t*) noexcept = pthread_attr_getstacksize;
  int (*attr_destroy)(pthread_attr_t*) noexcept = pthread_attr_destroy;
  int (*key_create)(pthread_key_t*, void (*)(void*)) noexcept = pthread_key_create;
  int (*key_delete)(pthread_key_t) noexcept = pthread_key_delete;
  int (*setspecific)(pthread_key_t, const void*) noexcept = pthread_setspecific;
};
extern LibcCalls libc_calls;

/// Prepares thread exit notification and reads defaults. Not thread-safe; called once, by the
/// constructor.
/// `tid` gives what libc writes into owner words for the calling thread.
void init_registry(std::int32_t (*tid)());

/// Gives the library's thread-specific key back to the program; false when it has none (any more).
/// Ends of threads are not noticed from then on: their records stay.
bool give_up_exit_key();

/// The calling thread's TID as libc has it, without a system call: after clone() libc goes on using
/// the parent's, and a sandbox may forbid gettid.
std::int32_t libc_tid();

/// Makes the calling thread known; null at its very end or when there is no room.
ThreadRecord* attach_current_thread();

/// Ties a record made by allocate() to the calling thread, its new owner. `stack_size` is that of
/// the thread's attributes, 0 when unknown.
void adopt(ThreadRecord& thread, std::size_t stack_size);

/// Stack size of threads created without attributes.
std::size_t default_stack_size();

namespace detail {
// Initial-exec (compiled with -ftls-model): one load on the lock path, and usable before and after
// everything else. constinit: no initialiser to call.
extern constinit thread_local ThreadRecord* self;
/// The same, but null while the thread is guarded: one test on the lock path for both.
extern constinit thread_local ThreadRecord* unguarded;
/// Null but while the thread is guarded and nothing else wants the long path: where that has been
/// before, a call for a free lock is short again (asked_about() in latent.hpp).
extern constinit thread_local ThreadRecord* guarded;
/// Lock calls of every thread take the long path for good: something is injected at locks.
extern constinit bool lock_points;
}  // namespace detail

/// From here on the calling thread asks orphan.cpp before it locks.
void guard(ThreadRecord& self);

/// The calling thread's lock calls take the long path from here on.
inline void take_long_path() { detail::unguarded = detail::guarded = nullptr; }

/// The calling thread's lock calls take the short path from here on, unless something still wants
/// the long one.
inline void restore_lock_path(ThreadRecord& self) {
  const bool looks = self.vfork_open || self.looking != 0 || self.fork.handler != nullptr ||
                     detail::lock_points;
  detail::unguarded = looks || self.guarded != 0 ? nullptr : &self;
  detail::guarded = looks || self.guarded == 0 ? nullptr : &self;
}

/// The calling thread's record, or null.
[[gnu::always_inline]] inline ThreadRecord* current() {
  ThreadRecord* thread = detail::self;
  return thread != nullptr ? thread : attach_current_thread();
}

/// TID for a record header; 0 for a thread unknown.
inline std::int32_t current_tid() {
  return detail::self != nullptr ? detail::self->tid.load(std::memory_order_relaxed) : 0;
}

}  // namespace forkscope
