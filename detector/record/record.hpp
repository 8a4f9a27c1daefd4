// The record format: what the preload library writes and the command reads.
//
// One file per session (SESSION/records), mapped MAP_SHARED by every observed process. A process
// appends by reserving space with one atomic add and publishing with one release store, so a record
// is on the kernel's side of SIGKILL the moment it is published: no write(2), no descriptor, no
// lock.
//
//   offset 0            kArenaHeaderSize                                        capacity
//   | ArenaHeader       | RecordHeader payload | RecordHeader payload | ...  tail | (free) |
//
// Records start on kRecordAlign boundaries. A process killed between reserving and publishing
// leaves a hole without a magic number; a reader skips holes by scanning for the next valid header.
// Addresses are addresses in the observed process. All integers are native-endian: a session is
// read on the machine (or at least the ABI) that wrote it.
//
// This header is the only place that defines the format; bump kFormatVersion when a layout changes.
// Everything here is async-signal-safe and fork-safe to use: plain data and lock-free atomics.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "detector/record/inject.hpp"

namespace forkscope::record {

inline constexpr char kArenaMagic[8] = {'F', 'K', 'S', 'C', 'O', 'P', 'E', '\0'};
inline constexpr std::uint32_t kFormatVersion = 6;
inline constexpr std::uint32_t kRecordMagic = 0x4b464352;  // "RCFK"
inline constexpr std::uint64_t kArenaHeaderSize = 4096;
inline constexpr std::uint64_t kRecordAlign = 64;
/// Address space every process sets aside for the arena; the file may grow up to it. Less where
/// address space is limited.
inline constexpr std::uint64_t kArenaMaxSize = 64u << 20;
/// Bytes of storage allocated when a session starts; the command extends it as it fills.
inline constexpr std::uint64_t kArenaInitialSize = 8u << 20;
/// Once more than this fraction (in 1/8) of kArenaMaxSize is used, forks that orphan nothing are
/// counted but no longer recorded one by one.
inline constexpr std::uint64_t kArenaBoringEighths = 4;
inline constexpr const char* kArenaFileName = "records";

inline constexpr std::size_t kMaxFrames = 48;         ///< return addresses kept of one stack
inline constexpr std::size_t kMaxCreatorFrames = 12;  ///< of the stack that created a thread
inline constexpr std::size_t kThreadNameSize = 16;    ///< as pthread_setname_np: 15 bytes and NUL

/// Counters that are right even when single records had to be dropped.
struct Counters {
  std::atomic<std::uint64_t> forks;            ///< child processes created, all interfaces
  std::atomic<std::uint64_t> fork_failures;    ///< calls that created none
  std::atomic<std::uint64_t> execs;            ///< children that reached exec
  std::atomic<std::uint64_t> exits;            ///< children that called exit or _exit
  std::atomic<std::uint64_t> dropped_records;  ///< records lost because the arena was full
  std::atomic<std::uint64_t> boring_forks;     ///< forks counted only, by kArenaBoringEighths
  std::atomic<std::uint64_t> dropped_locks;    ///< acquisitions deeper than a thread's table
  std::atomic<std::uint64_t> dropped_threads;  ///< threads beyond the thread directory
  std::atomic<std::uint64_t> abandoned_locks;  ///< still held when their thread exited
  std::atomic<std::uint64_t> full_histories;   ///< processes that had no room for another lock's use
  std::atomic<std::uint64_t> injected;         ///< faults injected, with those not recorded
  std::atomic<std::uint64_t> cramped;  ///< processes whose records had no address space (RLIMIT_AS)
};

/// What many children may find alike: written by the first, counted by all.
struct Repeat {
  std::atomic<std::uint64_t> key;  ///< 0: free
  std::atomic<std::uint64_t> count;
};
inline constexpr std::uint32_t kRepeats = 224;

/// First page of the arena.
struct ArenaHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t header_size;
  std::atomic<std::uint64_t> capacity;    ///< bytes with storage behind them; writers stay below
  std::atomic<std::uint64_t> tail;        ///< next free offset; may exceed capacity when full
  std::atomic<std::uint64_t> next_fork;   ///< fork ids, from 1
  std::atomic<std::uint32_t> next_image;  ///< image ids, from 1
  std::atomic<std::uint32_t> wake;        ///< futex word, bumped when a finding was published
  std::int32_t supervisor;                ///< pid of `forkscope run`, 0 without it
  std::uint32_t reserved;
  Counters counters;
  Repeat repeats[kRepeats];
  std::atomic<std::uint64_t> unsafe_sites;  ///< offset of the UnsafeSites record, 0 without one
};
static_assert(sizeof(ArenaHeader) <= kArenaHeaderSize);
static_assert(std::atomic<std::uint64_t>::is_always_lock_free);

enum class Type : std::uint16_t {
  kHello = 1,    ///< a process image (exec) is under observation: Hello
  kModule,       ///< a loaded object some recorded address lies in: Module
  kFork,         ///< a child process was created: Fork, ThreadInfo[], HeldLock[]
  kForkFailed,   ///< a call that should create one failed: ForkFailed
  kFinding,      ///< the tracker proved or suspects something: Finding and what follows it
  kFindingEnd,   ///< what became of a finding: FindingEnd
  kExec,         ///< about to exec: Exec
  kExecFailed,   ///< that exec returned: ExecFailed
  kExit,         ///< about to exit: Exit
  kChildStatus,  ///< a parent collected a child's status: ChildStatus
  kStaticInit,   ///< a function-local static is being initialised around a fork: StaticInit
  kAtfork,       ///< at-fork handlers were registered: Atfork
  kHandlerRuns,  ///< what they did around a fork: HandlerRuns and what follows it
  kUnsafeSites,  ///< calls of libc in forked children, counted: UnsafeSites (unsafe_calls.hpp)
  kLockName,      ///< what the program calls a lock a later record of it is about: LockName
  kForkDeclared,  ///< the program says that a fork is safe: ForkDeclared
  kSharedDescriptors,  ///< what parent and child use alike: SharedDescriptors (descriptors.hpp)
  kLearned,  ///< with learn=on, a lock that other threads use around forks: Finding as of a latent one
  kInjected,  ///< a fault was injected, or could not be: Injected
};

struct RecordHeader {
  std::atomic<std::uint32_t> magic;  ///< kRecordMagic, stored last
  std::uint32_t check;               ///< header_check() of the fields below and the offset
  Type type;
  std::uint16_t version;
  std::uint32_t size;  ///< bytes, header included, before padding to kRecordAlign
  std::int32_t pid;    ///< process that wrote it, in its own PID namespace
  std::int32_t tid;
  std::uint32_t image;  ///< image id of Hello; forked children share their parent's
  std::uint32_t probe;  ///< 1: written by the child of a probe (fork:probe), no child of the program
  std::uint64_t time;  ///< CLOCK_MONOTONIC, nanoseconds
};
static_assert(sizeof(RecordHeader) == 40);

/// Ties a header to its place, so that payload bytes that look like a header are not taken for one.
constexpr std::uint32_t header_check(std::uint64_t offset, Type type, std::uint32_t size,
                                     std::int32_t pid, std::uint64_t time) {
  std::uint64_t h = 0x9e3779b97f4a7c15u;
  for (std::uint64_t word :
       {offset, (std::uint64_t(type) << 32) | size, std::uint64_t(std::uint32_t(pid)), time}) {
    h = (h ^ word) * 0xff51afd7ed558ccdu;
    h ^= h >> 32;
  }
  return std::uint32_t(h);
}

constexpr std::uint64_t padded(std::uint64_t size) {
  return (size + kRecordAlign - 1) / kRecordAlign * kRecordAlign;
}

// ---- payloads -----------------------------------------------------------------------------------

struct Hello {
  std::int32_t parent;           ///< getppid() when the image started
  std::uint32_t exe_length;      ///< bytes of the executable's path that follow ...
  std::uint32_t command_length;  ///< ... and then of the arguments, each ended by NUL
  std::uint32_t name_length;     ///< ... and then of the preload library's own path
};

struct Module {
  std::uint64_t start;        ///< first mapped address
  std::uint64_t end;          ///< one past the last
  std::uint64_t bias;         ///< load bias: address minus p_vaddr
  std::uint32_t path_length;  ///< bytes of path that follow; empty for the main program
  std::uint32_t reserved;
};

enum class Api : std::uint8_t {
#define FORKSCOPE_API(id, name, memory, handlers) id,
#include "detector/record/apis.def"
#undef FORKSCOPE_API
};

enum class ChildMemory : std::uint8_t { kCopied, kFresh };
enum class Handlers : std::uint8_t { kRun, kSkipped };

constexpr ChildMemory memory_of(Api api) {
  constexpr ChildMemory kAll[] = {
#define FORKSCOPE_API(id, name, memory, handlers) ChildMemory::memory,
#include "detector/record/apis.def"
#undef FORKSCOPE_API
  };
  return std::size_t(api) < std::size(kAll) ? kAll[std::size_t(api)] : ChildMemory::kCopied;
}
constexpr Handlers handlers_of(Api api) {
  constexpr Handlers kAll[] = {
#define FORKSCOPE_API(id, name, memory, handlers) Handlers::handlers,
#include "detector/record/apis.def"
#undef FORKSCOPE_API
  };
  return std::size_t(api) < std::size(kAll) ? kAll[std::size_t(api)] : Handlers::kRun;
}

enum class ThreadState : std::uint8_t {
  kRunning,      ///< nothing known: running, or blocked where no wrapper looks
  kLocking,      ///< inside a lock call (waiting for it, or just taking it)
  kCondWait,     ///< inside pthread_cond_*wait
  kStarting,     ///< pthread_create called, start routine not entered
  kExited,       ///< over, but it still holds locks
  kSemWait,      ///< inside sem_*wait
  kBarrierWait,  ///< inside pthread_barrier_wait
  kFutexWait,    ///< inside a futex wait through syscall()
  kJoining,      ///< inside pthread_join: wait_object is its pthread_t
};
inline constexpr ThreadState kLastThreadState = ThreadState::kJoining;

/// A thread of the forking process, as it was at the fork.
struct ThreadInfo {
  std::int32_t tid;
  ThreadState state;
  std::uint8_t is_forker;
  std::uint16_t held;          ///< locks it held
  std::uint64_t start;         ///< start routine, 0 for the main thread or when unknown
  std::uint64_t wait_object;   ///< object it was at, else 0
  std::uint64_t wait_mutex;    ///< mutex given to pthread_cond_*wait, else 0
  std::uint64_t wait_caller;   ///< return address of that call, else 0
  char name[kThreadNameSize];  ///< as given to pthread_setname_np, else empty
};
static_assert(sizeof(ThreadInfo) == 56);

enum class LockType : std::uint8_t {
#define FORKSCOPE_LOCK_TYPE(id, words) id,
#include "detector/record/lock_types.def"
#undef FORKSCOPE_LOCK_TYPE
};
enum LockFlags : std::uint8_t {
  kLockRobust = 1,
  kLockPshared = 2,
  kLockPi = 4,
  kLockPp = 8,
  kLockInTransit = 16,  ///< locked, but its owner word not yet (or no longer) written
  kLockReader = 32,     ///< held for reading
  kLockShared = 64,     ///< lies in memory shared with other processes: fork orphans nothing
  kLockEvidence = 128,  ///< nobody owns a semaphore: the thread waited last and has not posted
};

/// A lock held at a fork.
struct HeldLock {
  std::uint64_t address;
  std::uint64_t caller;  ///< return address of the acquire
  std::int32_t owner;    ///< TID
  LockType type;
  std::uint8_t flags;  ///< LockFlags
  std::uint8_t self;   ///< 1: held by the forking thread itself
  std::uint8_t reserved;
};
static_assert(sizeof(HeldLock) == 24);

/// Written by the child where it can be (the child's memory is the exact state at the system call),
/// by the parent for vfork and posix_spawn, whose children share or never see its memory.
struct Fork {
  std::uint64_t id;
  std::int32_t parent;      ///< pid
  std::int32_t parent_tid;  ///< forking thread
  std::int32_t child;       ///< pid; 0 for vfork, where only the child's Exec or Exit can tell
  Api api;
  std::uint8_t reserved0;
  std::uint16_t frames;             ///< used entries of stack
  std::uint32_t threads;            ///< ThreadInfo entries that follow
  std::uint32_t held;               ///< HeldLock entries that follow those
  std::uint32_t threads_total;      ///< live threads, also when not all of them are listed
  std::uint32_t dropped_locks;      ///< acquisitions the tables had no room for, in live threads
  std::uint64_t stack[kMaxFrames];  ///< return addresses, innermost first
};
inline constexpr std::uint32_t kMaxForkThreads = 512;
inline constexpr std::uint32_t kMaxForkHeld = 512;

struct ForkFailed {
  std::uint64_t id;
  Api api;
  std::uint8_t reserved[3];
  std::int32_t error;  ///< errno
};

enum class Kind : std::uint8_t {
  kOrphanedLock,
  kLostThread,
  kSelfHeldLock,
  kStaleOwner,
  kLibcLock,
  kForkBypass,
  kSharedDescriptor,
  kMissingMemory,
  kUnsafeCall,
  kAtforkHandler,
};
inline constexpr Kind kLastKind = Kind::kAtforkHandler;
enum class Severity : std::uint8_t { kDeadlock, kLatent, kHazard, kNote };

/// The call in which the child met the lock.
enum class Call : std::uint8_t {
#define FORKSCOPE_CALL(id, name, waits) id,
#include "detector/record/calls.def"
#undef FORKSCOPE_CALL
};

enum class Waits : std::uint8_t { kForever, kTimed, kTry, kNever };

constexpr Waits waits_of(Call call) {
  constexpr Waits kAll[] = {
#define FORKSCOPE_CALL(id, name, waits) Waits::waits,
#include "detector/record/calls.def"
#undef FORKSCOPE_CALL
  };
  return std::size_t(call) < std::size(kAll) ? kAll[std::size_t(call)] : Waits::kNever;
}

/// What decided a finding, beside "nobody else lives here".
enum class Evidence : std::uint8_t {
  kOwnerWord,      ///< the lock's owner word names the vanished thread
  kInTransit,      ///< locked without owner; a vanished thread was inside lock or unlock of it
  kSameMutex,      ///< a vanished thread waited with the same mutex
  kSameCondition,  ///< a vanished thread waited on, or was the last to signal, the same object
  kHolderTable,    ///< locked, has no owner word; a vanished thread took it and had not released it
  kWaitedLast,     ///< semaphore: value 0, a vanished thread waited last and had not posted
  kNobodyLeft,     ///< the call waits for another thread of the process, and there is none
  kThreadGone,     ///< the thread the call is about was not copied
  kInheritedWaiters,  ///< the condition variable's words count waiters that were not copied
  kWrongOwner,        ///< the owner word names the forking thread by its id in the parent
  kParentHolds,       ///< the kernel lists the lock as the parent's
  kFault,             ///< the fault's address lies where memory was that was not copied
  kPointsThere,       ///< a register pointed into memory that was wiped by the fork
  kLoaderState,       ///< the loader's list of objects is marked as being changed
  kVforkChild,        ///< the process id is not that of the memory's owner
  kTookBefore,        ///< a vanished thread had taken it before, and nothing protected it
  kBothInitialise,    ///< the child and a thread of its parent initialise the same static, each alone
  kLockCycle,         ///< threads that all live wait for each other's locks, in a ring
  kForkedChild,       ///< the calling process is a copy that lost threads
  kInsideCall,        ///< a vanished thread had entered a function of libc and not left it
};
inline constexpr Evidence kLastEvidence = Evidence::kInsideCall;

/// When an at-fork handler runs.
enum class HandlerPhase : std::uint8_t { kPrepare, kParent, kChild };
inline constexpr std::size_t kHandlerPhases = 3;

/// Registers a frozen stack is unwound from: those of the call that took the lock, as they are when
/// it returns. pc is a return address. r12 to r15 are left out: a caller's frame is found by them
/// hardly ever (a function that realigns its stack has it in rbp or rbx), and each is a store on
/// the path of every lock.
struct Registers {
  std::uint64_t pc, sp, bp, bx;
};

/// Bytes of an observed stack. The acquisition slice comes first, where it overlaps the other wins:
/// it was copied at the acquire, the rest is the thread's stack as the fork froze it.
struct MemorySlice {
  std::uint64_t address;
  std::uint64_t size;
};
inline constexpr std::size_t kMaxStackSnapshot = 64u << 10;

/// A finding, written by the child before it enters the call. Followed by
///   ThreadInfo[threads]  (threads that were not copied), slices x {MemorySlice, bytes padded to
///   8}, text_length bytes of text (the path of a file that is locked or was mapped).
///
/// Where there is no lock in memory, the fields mean:
///   kSharedDescriptor  lock: the descriptor; lock_words: device (2 words), inode (2 words), what
///                      the child does: kFileLockReleased or kFileLockTaken
///   kMissingMemory     lock: the address of the fault; range: what was not copied; holder_caller:
///                      who called madvise, lock_words[0]: its advice
///   kUnsafeCall        lock: the call's object, else 0
///   kLostThread at a join: lock: the pthread_t
///
/// Of a call of libc (kForkedChild, kInsideCall) lock_words are the child's UnsafeCall, that of the
/// lost thread, and how many threads more were inside.
struct Finding {
  std::uint64_t id;    ///< unique in the session: its offset in the arena
  std::uint64_t fork;  ///< Fork::id of the fork that lost the holder
  Kind kind;
  Severity severity;
  Call call;
  Evidence evidence;
  LockType lock_type;
  std::uint8_t lock_flags;
  std::uint16_t waiter_frames;
  std::uint64_t lock;            ///< the object
  std::uint64_t lock_module;     ///< Module::start of the object it lies in, else 0
  std::uint64_t wait_mutex;      ///< mutex of a condition wait, else 0
  std::uint32_t lock_words[10];  ///< the lock's memory as the child saw it
  std::int32_t holder_tid;       ///< 0 when unknown
  std::uint16_t holder_creator_frames;
  std::uint8_t holder_has_registers;  ///< the acquisition was kept: unwind it from `acquired`
  std::uint8_t holder_exited;         ///< it was gone before the fork
  std::uint64_t holder_start;
  std::uint64_t holder_caller;  ///< return address of the acquire, when known
  char holder_name[kThreadNameSize];
  Registers acquired;
  std::uint64_t waiter[kMaxFrames];
  std::uint64_t holder_creator[kMaxCreatorFrames];
  std::uint32_t threads;
  std::uint32_t slices;
  std::uint32_t living;       ///< threads alive in the child at the call, this one included
  std::uint32_t text_length;  ///< bytes of text that follow the slices
  std::uint64_t range_begin, range_end;  ///< kMissingMemory. Of Type::kLearned: who made the lock,
                                         ///< and which of that thread's it is; 0: not known
  std::uint64_t holder_uses;  ///< kLatent: times the holder took the lock before the fork, else 0
  std::uint32_t held_share;   ///< and how much of the time, in parts per million; kUnknownShare
  std::uint32_t repeat;       ///< 1 + index in ArenaHeader::repeats, where it is counted; 0: once
  std::uint64_t
      handler;  ///< the call is in an at-fork handler: offset of its Atfork record, else 0
  HandlerPhase handler_phase;
  std::uint8_t in_handler;  ///< 1: so it is, although its Atfork record may be lost
  InjectProbed probed;      ///< by the child of a probe: what it was at
  std::uint8_t reserved[5];
};
inline constexpr std::uint32_t kUnknownShare = ~std::uint32_t{0};

inline constexpr std::uint32_t kFileLockReleased = 1, kFileLockTaken = 2;

enum class Outcome : std::uint8_t {
  kBlocked,  ///< --on-deadlock=report: the child goes on into the call
  kKilled,
  kAborted,
  kExited,
  kBroken,    ///< --on-deadlock=break: let through
  kAcquired,  ///< the call came back after all: the finding does not hold
};
struct FindingEnd {
  std::uint64_t finding;
  Outcome outcome;
  std::uint8_t reserved[7];
};

enum class NotObserved : std::uint8_t {
  kObserved,  ///< the library goes along
  kStatic,
  kSetuid,
  kForeignLibc,
  kOtherClass,
  kUnreadable,
  kUnreachable,  ///< the library's or the session's file cannot be opened: chroot, namespace, rights
  kConfined,     ///< a seccomp filter of the process would punish what the library calls
};
struct Exec {
  std::uint64_t fork;   ///< of the vfork this happens in, else 0
  std::int32_t parent;  ///< pid of the process whose memory a vfork child uses, else 0
  NotObserved reason;
  std::uint8_t reserved[3];
  std::uint32_t path_length;  ///< bytes that follow
};
struct ExecFailed {
  std::uint64_t fork;
  std::int32_t error;  ///< errno
  std::uint32_t reserved;
};
struct Exit {
  std::uint64_t fork;  ///< as in Exec
  std::int32_t status;
  std::uint32_t reserved;
};
/// Followed by stack_size bytes of stack, from acquired.sp on.
struct StaticInit {
  std::uint64_t object;  ///< the guard
  std::uint64_t fork;    ///< of a child that lost threads: the fork that made it; else 0
  Registers acquired;
  std::uint64_t start;  ///< of the thread
  char name[kThreadNameSize];
  std::uint32_t stack_size;
  std::uint32_t reserved;
};
struct ChildStatus {
  std::int32_t child;
  std::int32_t status;  ///< as wait(2) stores it
};

/// At-fork handlers, as they were given to pthread_atfork(). Known by the record's offset.
struct Atfork {
  std::uint64_t function[kHandlerPhases];  ///< 0: none for that phase
  std::uint64_t caller;                    ///< return address of the registration
  std::uint64_t next_fork;                 ///< forks with smaller ids had begun by then
  std::uint32_t order;                     ///< from 1: prepare runs from the last to the first
  std::uint8_t inside_handler;             ///< registered while one ran
  std::uint8_t unwatched;                  ///< no room: libc calls them, and we do not see it
  std::uint8_t reserved[2];
};

/// One handler that ran, or that a fork passed by.
struct HandlerRun {
  std::uint64_t atfork;  ///< offset of its Atfork record, 0 when that was lost
  std::uint64_t nanoseconds;
  std::uint32_t order;
  HandlerPhase phase;
  std::uint8_t passed_by;  ///< 1: it did not run, by the fork's interface
  std::uint8_t reserved[2];
};

enum class LockEvent : std::uint8_t {
  kTaken,
  kReleased,
  kLeft,  ///< `run` took it, and it is still taken when the fork is over
};
struct HandlerLock {
  std::uint64_t address;
  std::uint64_t caller;
  std::uint32_t run;  ///< index of the HandlerRun
  LockEvent event;
  LockType type;
  std::uint8_t flags;
  std::uint8_t ordered;  ///< 1: waited for without limit, and its place in the list is exact
};

/// A lock that a thread had when the fork was called: the forking one (`self`), or another that had
/// at least two locks which prepare handlers of this fork then took. In the order of taking.
struct HeldBefore {
  std::uint64_t address;
  std::uint64_t caller;
  std::int32_t tid;
  LockType type;
  std::uint8_t flags;
  std::uint8_t self;
  std::uint8_t ordered;  ///< 1: waited for without limit, and the locks before it were there first
};

/// Followed by HandlerRun[runs], HandlerLock[locks], HeldBefore[before].
struct HandlerRuns {
  std::uint64_t fork;
  HandlerPhase last_phase;  ///< kParent: prepare and parent, by the parent; kChild: by the child
  std::uint8_t reserved[3];
  std::uint32_t runs, locks, before;
  std::uint32_t dropped_runs, dropped_locks;
};
inline constexpr std::uint32_t kMaxHandlerRuns = 128, kMaxHandlerLocks = 256, kMaxHeldBefore = 64;

/// By forkscope/annotate.h: a name for the lock at this address, written before the records of the
/// same process that mention it.
struct LockName {
  std::uint64_t address;
  std::uint32_t length;  ///< bytes of text that follow
  std::uint32_t reserved;
};

/// By forkscope/annotate.h: why the program takes this fork for safe.
struct ForkDeclared {
  std::uint64_t fork;    ///< Fork::id
  std::uint32_t length;  ///< bytes of text that follow
  std::uint32_t reserved;
};

/// What became of an injection (inject.def) at one call, by the process that made the call; of a
/// fork by the parent. Followed by text_length bytes of the injection as it was given.
struct Injected {
  std::uint64_t seed;
  std::uint64_t fork;    ///< Fork::id of the fork it is about, else 0
  std::uint64_t lock;    ///< address of the lock it is about, else 0
  std::uint64_t caller;  ///< where the other thread took it, or called the function: return address
  std::int32_t holder;   ///< TID of that thread, else 0
  std::int32_t error;    ///< errno, else 0
  InjectAction action;
  InjectResult result;
  LockType lock_type;
  std::uint8_t lock_flags;
  std::uint8_t function;  ///< UnsafeCall the other thread was inside of, else 0
  InjectProbed probed;    ///< fork:probe: what its child was at
  std::uint16_t frames;   ///< used entries of stack
  std::uint32_t text_length;
  std::uint32_t repeat;  ///< 1 + index in ArenaHeader::repeats, where it is counted; 0: once
  std::uint64_t stack[kMaxFrames];  ///< of the call, innermost first
};
/// Of one injection that each process records one by one; more are counted only.
inline constexpr std::uint32_t kInjectedRecords = 256;

}  // namespace forkscope::record
