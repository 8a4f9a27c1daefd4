// What the tracker knows of one thread: the locks it holds, where it took them, what it waits for.
//
// One writer, the thread itself; in the parent nobody else reads. A forked child reads its frozen
// copy. Fork copies memory so that the child sees a prefix of each thread's stores in program order
// (a thread either still writes to the shared page or blocks until the fork is over), hence every
// update here is ordered such that each prefix is right:
//
//   lock:    top + 1, slot.lock = m;  [real lock:   m.owner = tid]
//   unlock:  top - 1 (slot stays);    [real unlock: m.owner = 0]
//
// so "m is in a slot up to and including the one above the top, and m.owner == tid" holds exactly
// while the thread owns m: a slot is written before its mutex is owned and survives until it is
// not. Both interposers thus end in a jump to the real function: no frame, nothing to do
// afterwards.
//
// What such a slot says is never believed without the owner word: a lock call that waits or failed,
// a mutex unlocked by another thread, destroyed or freed only leaves a stale slot, which
// forget_stale() clears when the table fills.
//
// Locks without an owner word (rwlocks held for reading, spin locks, semaphores, static-local
// guards, stdio streams) cannot tell, so their slots carry a Hold in the low bits of the address,
// which is written around the real calls:
//
//   lock:    top + 1, slot = m|kWanted;       [real lock: m taken];  slot = m|kHeld
//   unlock:  slot = m|kReleasing, top - 1;    [real unlock]
//
// kHeld is exact; the two others say that the thread may have been taking or releasing it, and the
// words of the lock whether anybody has it. Above the top only kReleasing means anything.
//
// A signal handler may take locks between any two stores: it pushes above `top` and is back there
// when it returns. What it may do to the entries below is to post a semaphore that its thread
// waited for: that only clears a word, in place, and moves nothing. (One gap is known: a handler
// that locks exactly between an unlock's two steps reuses the slot above the top, so a fork before
// the handler's thread goes on misses that mutex.)
//
// The deferred acquisition stack: at the acquire the registers of the call site and the innermost
// words of its stack are kept; callers beyond that are still on the thread's stack when it matters,
// and are unwound from there, after the fact and outside (inspect/frozen_stack). At -O0 the three
// or four wrapper frames of std::lock_guard have returned by then; the slice is what still has
// them.
#pragma once

#include <pthread.h>

#include <atomic>
#include <cstdint>
#include <iterator>

#include "detector/record/descriptors.hpp"
#include "detector/record/record.hpp"
#include "detector/record/unsafe_calls.hpp"
#include "detector/tracker/mutex_words.hpp"

namespace forkscope {

inline constexpr std::uint32_t kSlots = 14;      ///< locks a thread holds with acquisition stack
inline constexpr std::uint32_t kDeepSlots = 64;  ///< and beyond those without
/// Pairs of words (16 bytes) of the stack that are kept always, and more for code that keeps a
/// frame pointer, where small wrapper frames are many: docs/how-it-works.md says why so many.
inline constexpr std::size_t kSlicePairs = 5, kLongSlicePairs = 19;

/// How far a thread has got with a lock.
enum class Hold : std::uint8_t { kOwnerWord, kWanted, kHeld, kReleasing };
inline constexpr std::uintptr_t kHoldMask = 3;  ///< every lock is aligned to four bytes at least
inline std::uintptr_t tagged(const void* lock, Hold hold) {
  return reinterpret_cast<std::uintptr_t>(lock) | std::uintptr_t(hold);
}
inline const void* untagged(std::uintptr_t word) {
  return reinterpret_cast<const void*>(word & ~kHoldMask);
}
/// What stands for a lock in the word of a slot. Locks of the program's own (forkscope/annotate.h)
/// may be a single byte anywhere, where the Hold would overwrite the address: theirs is shifted.
inline const void* slot_key(const void* lock, record::LockType type) {
  if (type != record::LockType::kCustom) return lock;
  return reinterpret_cast<const void*>(reinterpret_cast<std::uintptr_t>(lock) << 2);
}
/// Beside record::LockFlags: the forking thread had it already before the fork.
inline constexpr std::uint8_t kInherited = record::kLockRobust;  // which these locks never are

/// A lock, and where it was taken: the call site as it is when the call returns.
struct alignas(64) Slot {
  std::atomic<std::uintptr_t> word;  ///< address and Hold; 0: none
  record::Registers registers;       ///< the low bits of sp say how much of the slice there is
  std::uint16_t short_size;          ///< with kShort: bytes copied
  record::LockType type;             ///< unless kOwnerWord
  std::uint8_t flags;                ///< unless kOwnerWord: kLockReader, kInherited
  std::uint32_t time;  ///< of a semaphore: orders the waits of several threads; see is_ordered()
  alignas(16) std::uint64_t slice[2 * kLongSlicePairs];  ///< from sp on

  static constexpr std::uint64_t kShort = 1, kLong = 2;  ///< stack pointers are multiples of 8
  std::uint64_t sp() const { return registers.sp & ~(kShort | kLong); }
  std::uint64_t slice_size() const {
    if ((registers.sp & kShort) != 0) return short_size;
    return ((registers.sp & kLong) != 0 ? kLongSlicePairs : kSlicePairs) * 16;
  }
};
static_assert(sizeof(Slot) == 384 && offsetof(Slot, slice) % 16 == 0);

/// Whether a mutex's slot says when it was taken: after all below it, and waited for without limit.
/// Not where it was moved down into the place of one that was unlocked out of order, nor where it
/// was only tried: the mark is of what the slot holds, so whatever comes next is without it. It is
/// there before the slot says so, or before the mutex is owned: others look at any moment.
inline std::uint32_t unordered_mark(std::uintptr_t word, std::uint64_t caller) {
  return std::uint32_t(word) ^ std::uint32_t(caller);
}
inline bool is_ordered(const Slot& slot) {
  return slot.time != unordered_mark(slot.word.load(std::memory_order_relaxed), slot.registers.pc);
}

/// A lock taken when all slots were in use.
struct DeepSlot {
  std::atomic<std::uintptr_t> word;
  std::uint64_t caller : 48;
  record::LockType type;
  std::uint8_t flags;
};
static_assert(sizeof(DeepSlot) == 16);

/// A slot of either kind.
struct Recorded {
  const void* lock;
  Hold hold;
  record::LockType type;  ///< kUnknown with kOwnerWord
  std::uint8_t flags;
  std::uint64_t caller;
  const Slot* slot;  ///< null for a deep one
};

/// A lock the thread has given up before: how often since history.cpp was told last.
struct Seen {
  std::atomic<std::uintptr_t> word;  ///< history::seen_word; others clear it when the lock is gone
  std::uint32_t left;   ///< how often until history.cpp is to be told again ...
  std::uint32_t times;  ///< ... which is what `left` began with
};
static_assert(sizeof(Seen) == 16);
inline constexpr std::uint32_t kSeen = 64;
class HandlerCall;    // handlers.hpp
struct HandlerTrace;  // handler_trace.hpp
/// A function of libc that the thread has entered and not left: tracker/inside.hpp.
struct InsideCall {
  const void* caller;
  const void* cfa;  ///< its caller's stack pointer after the return
  std::atomic<record::UnsafeCall> call;
};
inline constexpr std::uint32_t kInsideDepth = 4;

/// The fork in progress in this thread.
struct ForkSite {
  std::uint64_t id;
  record::Api api;
  bool active;  ///< between fork_begin() and its end, in parent and child
  bool inside;  ///< the call has not returned: at-fork handlers may run
  std::uint16_t frames;
  HandlerCall* handler;  ///< the at-fork handler it is in: ask live_handler()
  HandlerTrace* trace;   ///< what handlers do in this fork
  record::SharedDescriptors* descriptors;  ///< what the child will share; null: not looked at
  std::uint64_t stack[record::kMaxFrames];
};

enum class Life : std::uint8_t { kFree, kStarting, kAlive, kExited, kReclaiming };

struct alignas(64) ThreadRecord {
  // -- what every lock call touches
  Slot* top;                 ///< first free slot
  std::uintptr_t stack_low;  ///< window in which a slice can be copied without checks
  std::uintptr_t stack_span;
  std::atomic<std::int32_t> tid;  ///< as generation and pthread: read by whoever looks for it
  std::uint32_t guarded;          ///< child that lost threads: ask orphan.cpp before locking
  std::uint32_t deep;             ///< deep slots in use
  std::uint16_t since_sweep;      ///< deep pushes since stale slots were last looked for
  std::uint16_t sweep_interval;   ///< how many may pass until the next time; 0: there were none
  std::atomic<std::uint32_t> generation;  ///< forks between the first process and this thread's
  std::uint32_t dropped;                  ///< held now, but beyond the table
  std::atomic<Life> life;

  // -- what it waits for, and the last things it signalled or posted
  alignas(64) std::atomic<const void*> wait_object;
  std::atomic<record::ThreadState> waiting;  ///< how; means something only with a wait_object
  std::atomic<const void*> wait_mutex;
  std::uint64_t wait_caller;
  const void*
      signalled[4];  ///< last condition variables signalled, semaphores posted, futexes woken
  std::uint32_t signalled_next;

  // -- the functions of libc it is inside of
  std::uint32_t inside_depth;
  InsideCall inside[kInsideDepth];

  // -- identity
  std::uint32_t index;                   ///< in the directory
  std::atomic<std::uint32_t> next_free;  ///< free list link: index + 1
  std::int32_t previous_tid;             ///< of the forking thread before the last fork
  std::atomic<pthread_t> pthread;
  void* (*start)(void*);
  void* argument;
  std::uintptr_t stack_high;  ///< about the outermost frame, 0 when unknown
  std::uint16_t creator_frames;
  std::uint16_t destructor_rounds;
  char name[record::kThreadNameSize];
  std::uint64_t creator[record::kMaxCreatorFrames];
  ForkSite fork;
  std::uint64_t vfork;  ///< id of the last vfork of this thread
  bool vfork_open;      ///< it may be the vfork child that runs: see preload/observed.hpp

  // -- the history: see history.hpp
  Seen seen[kSeen];
  /// Always 0, and where `slots[-1].word` would be: who looks for a lock in the newest slot need not
  /// ask whether there is one.
  alignas(64) std::uintptr_t no_slot;
  std::uint32_t seen_uses[kSeen];  ///< where history.cpp has them, 0: nowhere
  std::atomic<std::uint32_t> life_number;  ///< of all threads there were; a new one after a fork
  const void* to_time;     ///< the lock whose next acquire is to be timed
  std::uint16_t looking;   ///< so many acquires are looked at; it is not `unguarded` then
  std::atomic<const void*> timed;  ///< the lock being timed
  std::uint64_t timed_since;       ///< ticks

  // -- what the program says: preload/annotate.cpp
  const char* fork_declared;     ///< why its forks are safe; null: not said
  const void* custom_lock;       ///< that it is about to wait for
  std::uint64_t custom_finding;  ///< made about that

  // -- the table
  Slot slots[kSlots + 1];  ///< one more: the slot above the top is read too
  DeepSlot deep_slots[kDeepSlots + 1];

  bool empty() const { return top == slots && deep == 0; }
  /// Calls visit(Recorded) for all that may be held, newest first, until false.
  template <typename Visit>
  void each(Visit&& visit) const {
    // Never used, their pages were never there: a forked child would fault for each thread's.
    const std::uint32_t above = sweep_interval != 0 ? deep + 1 : 0;
    for (std::uint32_t i = above < kDeepSlots ? above : kDeepSlots; i > 0; --i) {
      const DeepSlot& one = deep_slots[i - 1];
      std::uintptr_t word = one.word.load(std::memory_order_relaxed);
      if (word == 0 || (i > deep && is_above(word))) continue;
      if (!visit(recorded(word, one.type, one.flags, one.caller, nullptr))) return;
    }
    for (const Slot* slot = top; slot >= slots && slot <= slots + kSlots; --slot) {
      std::uintptr_t word = slot->word.load(std::memory_order_relaxed);
      if (word == 0 || (slot == top && is_above(word))) continue;
      if (!visit(recorded(word, slot->type, slot->flags, slot->registers.pc, slot))) return;
    }
  }

 private:
  /// Means nothing any more, or not yet.
  static bool is_above(std::uintptr_t word) {
    Hold hold = Hold(word & kHoldMask);
    return hold == Hold::kWanted || hold == Hold::kHeld;
  }
  static Recorded recorded(std::uintptr_t word, record::LockType type, std::uint8_t flags,
                           std::uint64_t caller, const Slot* slot) {
    if ((word & kHoldMask) == 0) type = record::LockType::kUnknown, flags = 0;
    const void* lock =
        type == record::LockType::kCustom ? reinterpret_cast<const void*>(word >> 2) : untagged(word);
    return {lock, Hold(word & kHoldMask), type, flags, caller, slot};
  }
};
static_assert(sizeof(ThreadRecord) <= 9216, "the price of a thread");
static_assert(offsetof(ThreadRecord, slots) - offsetof(ThreadRecord, no_slot) == sizeof(Slot));

/// The slot below the top. Without any its word is 0, and that is all there is of it.
[[gnu::always_inline]] inline Slot& newest_slot(const ThreadRecord& thread) {
  return *reinterpret_cast<Slot*>(reinterpret_cast<std::uintptr_t>(thread.top) - sizeof(Slot));
}
/// Whether that is of this lock, in this state.
[[gnu::always_inline]] inline bool is(const Slot& slot, const void* lock, Hold hold) {
  return slot.word.load(std::memory_order_relaxed) == tagged(lock, hold);
}

/// Remembers what the thread signalled, posted or woke last.
inline void note_signal(ThreadRecord& thread, const void* object) {
  thread.signalled[thread.signalled_next++ % std::size(thread.signalled)] = object;
}

namespace table {

/// Where the table of `holder` says that it took the lock: a return address, or null.
inline const void* where_taken(const ThreadRecord& holder, const void* lock) {
  const void* caller = nullptr;
  holder.each([&](const Recorded& one) {
    if (one.lock == lock) caller = reinterpret_cast<const void*>(one.caller);
    return caller == nullptr;
  });
  return caller;
}

void want_deep(ThreadRecord& thread, const void* lock, record::LockType type, std::uint8_t flags,
               void* caller);
std::atomic<std::uintptr_t>* find_deep(ThreadRecord& thread, std::uintptr_t word);
void trim_deep(ThreadRecord& thread);

/// Keeps rbp, rbx and stack of the interposer's call site: `caller` is its return address, `cfa`
/// its __builtin_dwarf_cfa(), the caller's stack pointer after the return.
/// Only in interposers that leave the callee-saved registers alone: their files are compiled with
/// -ffixed-*, and tests/process/shim_hot_path_test.sh looks at the machine code.
[[gnu::always_inline]] inline void capture(const ThreadRecord& thread, Slot& to, void* caller,
                                           void* cfa) {
  using Pair = long long __attribute__((vector_size(16), may_alias, aligned(8)));
  using AlignedPair = long long __attribute__((vector_size(16), may_alias));
  std::uint64_t bp;
  asm volatile("movq %%rbp, %0\n\tmovq %%rbx, %1" : "=r"(bp), "=m"(to.registers.bx));
  auto sp = reinterpret_cast<std::uintptr_t>(cfa);
  to.registers.pc = reinterpret_cast<std::uint64_t>(caller);
  to.registers.sp = sp;
  to.registers.bp = bp;
  auto* from = reinterpret_cast<const Pair*>(sp);
  auto* into = reinterpret_cast<AlignedPair*>(to.slice);
  if (sp - thread.stack_low < thread.stack_span || (sp & 4095) <= 4096 - sizeof to.slice)
      [[likely]] {
#pragma GCC unroll 16
    for (std::size_t i = 0; i < kSlicePairs; ++i) into[i] = from[i];
    if (bp - sp < kSlicePairs * sizeof(Pair)) [[unlikely]] {  // out of the way of optimised code
#pragma GCC unroll 16
      for (std::size_t i = kSlicePairs; i < kLongSlicePairs; ++i) into[i] = from[i];
      to.registers.sp = sp | Slot::kLong;
    }
  } else {  // a stack of the program's own, near the end of a page: the next may not be mapped
    std::size_t count = (4096 - (sp & 4095)) / sizeof(Pair);
    for (std::size_t i = 0; i < count; ++i) into[i] = from[i];
    to.short_size = std::uint16_t(count * sizeof(Pair));
    to.registers.sp = sp | Slot::kShort;
  }
}

/// Records that `lock` is about to be acquired; false when only deep slots are left.
/// Inlined into the interposer for capture().
[[gnu::always_inline]] inline bool push(ThreadRecord& thread, const void* lock, void* caller,
                                        void* cfa) {
  Slot* slot = thread.top;
  if (slot == thread.slots + kSlots) [[unlikely]]
    return false;
  // Top first: between the two a signal handler must not take the slot, and what is still in it
  // from before means nothing without its owner word.
  thread.top = slot + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  slot->word.store(tagged(lock, Hold::kOwnerWord), std::memory_order_release);
  capture(thread, *slot, caller, cfa);
  return true;
}

/// The same for a lock without owner word; takes a deep slot where there is no other.
[[gnu::always_inline]] inline void want(ThreadRecord& thread, const void* lock,
                                        record::LockType type, std::uint8_t flags, void* caller,
                                        void* cfa) {
  Slot* slot = thread.top;
  if (slot == thread.slots + kSlots) [[unlikely]]
    return want_deep(thread, lock, type, flags, caller);
  thread.top = slot + 1;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  slot->type = type;
  slot->flags = flags;
  slot->word.store(tagged(lock, Hold::kWanted), std::memory_order_release);
  capture(thread, *slot, caller, cfa);
}

/// The newest slot of `lock` in state `hold`, for the locks without owner word; null if there is
/// none.
[[gnu::always_inline]] inline std::atomic<std::uintptr_t>* find(ThreadRecord& thread,
                                                                const void* lock, Hold hold) {
  std::uintptr_t word = tagged(lock, hold);
  if (thread.deep == 0) [[likely]]
    for (Slot* slot = thread.top; slot-- > thread.slots;)
      if (slot->word.load(std::memory_order_relaxed) == word) return &slot->word;
  return find_deep(thread, word);
}

/// Takes off the top what is empty.
[[gnu::always_inline]] inline void trim(ThreadRecord& thread) {
  while (thread.top > thread.slots && thread.top[-1].word.load(std::memory_order_relaxed) == 0)
    --thread.top;
  if (thread.deep > 0) [[unlikely]]
    trim_deep(thread);
}

/// Clears what find() gave, and takes off the top what is empty by then.
[[gnu::always_inline]] inline void clear(ThreadRecord& thread, std::atomic<std::uintptr_t>& word) {
  word.store(0, std::memory_order_release);
  trim(thread);
}

/// The same where nothing may be left between the slots: moves the newest into its place. Not in a
/// signal handler that interrupts the table's own functions.
void drop(ThreadRecord& thread, std::atomic<std::uintptr_t>& word);

/// After the call that want() preceded: it has the lock now, or has not.
void settle_slowly(ThreadRecord& thread, const void* lock, bool got);
[[gnu::always_inline]] inline void settle(ThreadRecord& thread, const void* lock, bool got) {
  Slot& newest = newest_slot(thread);
  if (!got || !is(newest, lock, Hold::kWanted)) [[unlikely]]
    return settle_slowly(thread, lock, got);
  newest.word.store(tagged(lock, Hold::kHeld), std::memory_order_release);
}

/// Before the call that gives `lock` up: `newest` is its slot, the one below the top.
[[gnu::always_inline]] inline void release_newest(ThreadRecord& thread, Slot& newest,
                                                  const void* lock) {
  newest.word.store(tagged(lock, Hold::kReleasing), std::memory_order_release);
  thread.top = &newest;
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
/// The same, if it is the newest slot, as most often; else release_slowly().
[[gnu::always_inline]] inline bool release(ThreadRecord& thread, const void* lock) {
  Slot& newest = newest_slot(thread);
  if (!is(newest, lock, Hold::kHeld)) return false;
  release_newest(thread, newest, lock);
  return true;
}
/// Where release() was false. Gives whether it was recorded at all. `in_place`: the call may be in
/// a signal handler that interrupts the table's own functions.
bool release_slowly(ThreadRecord& thread, const void* lock, bool in_place);

/// Takes the top slot off, if it is `lock`'s; before the lock is released, or after it was not got.
[[gnu::always_inline]] inline bool pop(ThreadRecord& thread, const void* lock) {
  Slot& newest = newest_slot(thread);
  if (!is(newest, lock, Hold::kOwnerWord)) return false;
  thread.top = &newest;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  return true;
}

/// What to do when push() was false: forgets stale slots to make room for the next push, takes a
/// deep slot for this lock, or counts it as dropped.
void push_deep(ThreadRecord& thread, const void* lock, void* caller);

/// Clears slots whose owner word no longer names the thread, or whose lock is free. Probes memory
/// before it reads.
void forget_stale(ThreadRecord& thread);

/// When a thread ends: nobody owns a semaphore, what it waited for and did not post is no lock left
/// behind.
void forget_semaphores(ThreadRecord& thread);

/// In a forked child, for the forking thread: what it has now it had before.
void mark_inherited(ThreadRecord& thread);

/// After an out-of-order unlock. Gives whether the lock was recorded.
bool erase(ThreadRecord& thread, const void* lock);

bool contains(const ThreadRecord& thread, const void* lock);

}  // namespace table

}  // namespace forkscope
