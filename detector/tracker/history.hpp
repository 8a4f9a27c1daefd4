// Which thread has taken which lock, how often, for how long, and where: what makes one run that
// passed tell of another that hangs. A forked child that takes a lock which a thread of its parent
// has taken before, and which nothing protected at the fork, was lucky.
//
// Written when a lock is given up, for by then it surely was taken, and its slot still says where.
// Nearly all of that is a counter in the thread's own record (ThreadRecord::seen); the rest goes
// through one table of the process, in private memory, so that a forked child reads its frozen
// copy. Nothing is written while the process has one thread: nobody else could fork then.
//
// Lock-free (a signal handler or a fork at any instruction finds it consistent), thread-safe,
// async-signal-safe, allocates nothing; when its memory is used up it keeps what it has.
#pragma once

#include <cstddef>
#include <cstdint>

#include "detector/tracker/thread_record.hpp"

namespace forkscope::history {

/// Bytes of stack kept of the first time a thread took a lock.
inline constexpr std::size_t kStackBytes = 3072;

/// Where a thread took a lock first.
struct Site {
  record::Registers registers;
  std::uint32_t size;  ///< bytes of stack, from registers.sp on
  std::uint8_t stack[kStackBytes];
};

/// What one thread did with one lock.
struct Use {
  std::uint32_t next;                ///< of the same lock: offset in the store, 0: none
  std::uint32_t site;                ///< offset of the Site, 0: none was kept
  std::atomic<std::uint64_t> owner;  ///< index and life number of the thread; 0: free
  std::atomic<bool> ready;           ///< all but the numbers is written
  bool wrote;                        ///< taken for writing at least once; false with readers only
  bool exact;                        ///< the Site was kept at an acquire, not at a release
  bool tried;                        ///< in a child: told of a sem_trywait
  std::uint64_t caller;              ///< return address of the acquire
  std::uint64_t count;               ///< times taken; those in ThreadRecord::seen come on top
  std::uint64_t samples;             ///< times taken that were timed ...
  std::uint64_t held;                ///< ... and how long that was together, in ticks
  std::uint64_t first;               ///< when, in ticks
};

/// Where locks on the heap can be told apart: whoever frees memory passes preload/heap.cpp. Set by
/// the constructor.
extern bool watches_heap;

/// A lock that lies neither in a module nor on the stack of who took it is known: frees matter.
extern std::atomic<bool> any_on_heap;

/// Acquires that are looked at when a thread is new, so that what it takes but once has a stack.
inline constexpr std::uint16_t kFirstLooks = 32;

/// From here on there are other threads: what was taken before does not count. Called when a second
/// one is about to run.
void start();
/// A life number for a thread.
std::uint32_t next_life();

/// A lock that is about to be given up.
struct Release {
  const void* lock;
  record::LockType type;
  std::uint8_t flags;    ///< kLockReader
  const Slot* slot;      ///< null: its acquire was recorded without stack
  std::uint64_t caller;  ///< return address of the acquire
};
/// The slow half of count_release(), which may have counted or not have been asked.
void note_release(ThreadRecord& thread, const Release& release);

/// Ticks of the clock that Use counts in: the processor's, as nothing else is cheap and safe here.
/// 0 once the program has forbidden that.
std::uint64_t ticks();

/// The calling thread, which is `looking` (ThreadRecord), has got `lock`: keeps the stack if none
/// has been kept, for the acquire's caller is still what called it, and begins to time how long it
/// has the lock if that is the one to be timed.
void note_acquire(ThreadRecord& thread, const void* lock, record::LockType type,
                  std::uint8_t flags);

/// Another lock may lie at this address from now on, or this one was made good in a forked child:
/// nobody has taken it.
void forget(const void* lock);
/// The same for all locks in memory that was given back.
void forget_range(const void* begin, std::size_t size);
/// One bit for each page in which a lock was taken, by its hash.
inline constexpr std::uint32_t kPageBits = 262144;
extern std::atomic<std::uint64_t> pages[kPageBits / 64];
inline std::uint32_t page_bit(const void* address) {
  const std::uint64_t page = reinterpret_cast<std::uintptr_t>(address) / 4096;
  return std::uint32_t(page * 0x9e3779b97f4a7c15u >> 46);
}
/// Whether a lock may lie in the page of this address.
inline bool may_have_locks(const void* address) {
  const std::uint32_t bit = page_bit(address);
  return (pages[bit / 64].load(std::memory_order_relaxed) >> bit % 64 & 1) != 0;
}
/// The same for objects of the loader that are gone.
void forget_unloaded();

/// In a forked child: locks that the forking thread had at the fork are protected, and what it took
/// in its parent is no matter of this process.
void in_child(ThreadRecord& self);

/// In a forked child, for a lock that it takes: the use by a lost thread that lived at the fork,
/// and that would have kept this call waiting; of several the one that had it longest.
struct LostUses {
  Use* longest = nullptr;
  std::uint32_t threads = 0;
};
LostUses lost_uses(const void* lock, record::LockType type, std::uint8_t flags);
/// Calls visit for each lock that such threads used, those in modules first: the others are many.
using VisitUsed = void (*)(const void* lock, record::LockType type, const LostUses& uses);
void each_used_by_lost(VisitUsed visit);
/// What lost threads did with this lock means nothing any more: it is this process's own.
void forget_lost_uses(const void* lock);
const ThreadRecord& thread_of(const Use& use);
const Site* site_of(const Use& use);
/// How often it was taken, and how much of the time until now it was held, in parts per million;
/// record::kUnknownShare when that was not measured.
std::uint64_t uses(const Use& use, const void* lock);
std::uint32_t held_share(const Use& use, const void* lock, std::uint64_t now);

/// Offset of its Seen in ThreadRecord::seen: few instructions, as it is on the lock path.
[[gnu::always_inline]] inline std::uintptr_t seen_offset(const void* lock) {
  auto address = reinterpret_cast<std::uintptr_t>(lock);
  return (address ^ (address >> 6)) & (kSeen - 1) * sizeof(Seen);
}
inline std::uint32_t seen_index(const void* lock) {
  return std::uint32_t(seen_offset(lock) / sizeof(Seen));
}
/// What Seen has of a lock held this way: a reader's and a writer's are two entries.
inline std::uintptr_t seen_word(const void* lock, std::uint8_t flags) {
  return reinterpret_cast<std::uintptr_t>(lock) | ((flags & record::kLockReader) != 0 ? 1 : 0);
}

/// Counts that `thread` gives `lock` up; false when note_release() has to go on. On the lock path.
[[gnu::always_inline]] inline bool count_release(ThreadRecord& thread, const void* lock,
                                                 std::uint8_t flags = 0) {
  auto* seen = reinterpret_cast<Seen*>(reinterpret_cast<char*>(thread.seen) + seen_offset(lock));
  return seen->word.load(std::memory_order_relaxed) == seen_word(lock, flags) && --seen->left != 0;
}

}  // namespace forkscope::history
