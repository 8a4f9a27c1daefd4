// What was seen of a process from outside: /proc, its memory, a core file. Only what was read, no
// conclusions: diagnose() makes those, and is tested with evidence written down by hand.
//
// inspect/ fills these in. Whatever could not be read is left empty and named in `missing`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

/// How the memory of a process is laid out: pointer size, and glibc's variants of its lock types.
enum class Abi {
  kX86_64,     ///< glibc's own for x86-64
  kGeneric64,  ///< the one most other 64-bit architectures share (AArch64, RISC-V, ...)
  k32Bit,      ///< not known to forkscope
};

/// Of the processes of this host, but for 32-bit ones.
#if defined(__x86_64__)
constexpr Abi kNativeAbi = Abi::kX86_64;
#else
constexpr Abi kNativeAbi = Abi::kGeneric64;
#endif

enum class Libc { kUnknown, kGlibc, kMusl };

/// The system call a thread is blocked in, as in /proc/PID/task/TID/syscall or a core file.
struct SystemCall {
  long number = -1;  ///< of the process's architecture; -1: blocked, but in no system call
  std::uint64_t arguments[6] = {};
  std::uint64_t sp = 0, pc = 0;
};

/// How a stack was had. The first two are short of what callers kept in registers only.
enum class StackSource {
  kNone,
  kBlocked,  ///< from stack and instruction pointer of the system call, the thread not stopped
  kStopped,  ///< all registers, the thread stopped for it
  kCore,     ///< all registers, from a core file
};

struct ThreadEvidence {
  std::int32_t tid = 0;     ///< in our PID namespace; of a core file as `own_tid`
  std::int32_t own_tid = 0; ///< in the process's own PID namespace: what its memory knows it by
  std::string name;
  char state = '?';               ///< proc(5): R, S, D, T, t, Z, ...; '?' in a core file
  std::uint64_t start = 0;        ///< clock ticks since boot; 0 unknown
  std::uint64_t cpu_ticks = 0;    ///< user and system
  std::uint64_t switches = 0;     ///< context switches so far
  bool running = false;           ///< it was on a processor, or ready to be
  std::optional<SystemCall> call; ///< nothing: running, or not to be read
  /// Between two looks at all threads it did not run for an instant: same call, same count of
  /// context switches. Always true in a core file.
  bool settled = false;
  std::vector<Frame> stack;  ///< innermost first
  StackSource stack_source = StackSource::kNone;
  bool stack_complete = false;  ///< reached the thread's first function
  std::vector<PythonFrame> python;  ///< innermost first
  std::optional<Frame> start_routine;
  /// Of the lock in whose queue it is, where it sleeps on a word of its own; 0: none, or not known.
  std::uint64_t queued_on = 0;
};

/// A line of /proc/PID/maps.
struct Mapping {
  std::uint64_t start = 0, end = 0;
  bool readable = false, writable = false, executable = false;
  bool shared = false;  ///< MAP_SHARED
  std::uint64_t offset = 0;
  std::uint64_t inode = 0;
  std::string path;  ///< as in the process's own mount namespace; "[heap]", "[stack]" too
};

/// Something that could not be read, why, and what would help.
struct Missing {
  std::string what;   ///< a clause: "the system calls of its threads cannot be read"
  std::string why;    ///< a clause: "it belongs to another user"
  std::string cure;   ///< a command to type, empty when there is none
};

struct ProcessEvidence {
  std::int32_t pid = 0;
  std::int32_t own_pid = 0;     ///< in its own PID namespace
  std::int32_t parent = 0;
  std::uint64_t start = 0;      ///< clock ticks since boot
  char state = '?';             ///< of its first thread
  std::string name;             ///< of the first thread, as ps(1) shows it
  std::string exe;              ///< path, empty when not to be read
  std::vector<std::string> command;
  bool ended = false;  ///< all of its threads have
  bool from_core = false;
  bool kernel_thread = false;
  /// Created by fork, vfork or clone and has not called execve since (PF_FORKNOEXEC).
  /// Nothing: not known.
  std::optional<bool> forked;
  /// Bit n-1: signal n has a handler. Nothing: not known, as of a core file.
  std::optional<std::uint64_t> caught_signals = 0;
  bool traced = false;                ///< a debugger is attached
  /// Another process uses the same memory (clone(2) with CLONE_VM and without CLONE_THREAD), so its
  /// threads could wake this one's.
  /// Nothing: it could not be found out.
  std::optional<bool> shares_memory = false;
  bool io_uring = false;  ///< it has one: the kernel can wake futexes by it (IORING_OP_FUTEX_WAKE)
  Abi abi = Abi::kX86_64;
  Libc libc = Libc::kUnknown;
  std::vector<ThreadEvidence> threads;  ///< the first is the thread group's leader
  bool all_threads = false;             ///< `threads` did not change while it was looked at
  std::vector<Mapping> mappings;        ///< in order of address
  std::vector<ModuleRecord> modules;    ///< where the files among them were loaded
  std::vector<MemoryBytes> memory;      ///< around each address a thread waits on
  std::vector<Missing> missing;
};

/// A thread that was not copied, as the child's memory still knows it.
struct RememberedThread {
  std::int32_t own_tid = 0;  ///< as the parent knew it; 0: the child's libc cleared it
  std::optional<Frame> start_routine;
};

/// A thread, mostly one that was not copied, knows of what a thread of the child waits on for ever.
struct WaitLink {
  enum class How {
    kStack,  ///< its stack has a pointer to it
    kHeap,   ///< what its stack points to leads there
    kCode,   ///< the functions it was in refer to it, or call one that does
  };
  std::int32_t waiter = 0;  ///< TID of the thread that waits
  std::int32_t lost = 0;    ///< TID of the one that knows, 0 unknown
  How how = How::kStack;
};

/// A thread is in a loop whose machine code does nothing but look at memory and pause: it goes round
/// until that memory changes, and nothing in the loop itself changes it.
struct WaitingLoop {
  std::int32_t tid = 0;
  Frame function;              ///< that has the loop
  bool looks_elsewhere = false;  ///< not only at data of the file that the function is in
  /// All of that data that it looks at is referred to by code that threads were in, or were started
  /// in, that were not copied.
  bool known_to_lost = false;
  /// Of the loop nothing is known but that it was met at the instruction `pause`, which programs run
  /// while they wait for a word to change.
  bool only_pause = false;
};

/// Who can write to what a thread waits for in poll(), read() and their kin: of all its descriptors
/// together.
struct WaitedDescriptors {
  std::int32_t tid = 0;
  bool inside = false;   ///< of one at least, threads of the process itself
  bool outside = false;  ///< of one at least, another process, or that is not known
  bool inherited = false;  ///< one of those that its own threads write to may be from before the fork
};

/// What a thread of the process was seen doing when it was looked at again and again, for seconds.
struct Rounds {
  std::int32_t tid = 0;
  std::uint32_t asleep = 0;     ///< looks that found it blocked in the call it was in most often:
                                ///< the same number, stack and instruction pointer
  std::uint32_t elsewhere = 0;  ///< ... blocked in another
  std::uint32_t awake = 0;      ///< ... on a processor, or ready for one
  std::uint64_t turns = 0;      ///< how often it got a processor from the first look to the last
  std::uint64_t ran_ns = 0;     ///< for how long altogether
  SystemCall call;              ///< that it was in most often, as it was seen last
  bool same_word = true;  ///< of a futex: address and value of the word were the same in all looks
};

/// A process and where its memory comes from.
struct Evidence {
  ProcessEvidence process;
  /// Those it is a copy of, nearest first: its parent, if that is the process that forked it, and
  /// so on up to the one that called execve. Decided by the random bytes the kernel gave at execve.
  std::vector<ProcessEvidence> ancestors;
  /// It was forked, and the process that did so has ended or runs another program.
  bool parent_gone = false;
  bool parent_unreadable = false;  ///< its parent does not let us see whether it is a copy of that
  /// Threads of the forker as the child's own copy of glibc's lists shows them: they lived when the
  /// child was made and were not copied. Known whether the parent lives or not, not for every libc.
  std::vector<RememberedThread> remembered_threads;
  /// What its memory tells of the threads that were not copied, for threads that wait for ever.
  std::vector<WaitLink> wait_links;
  /// The same of the other threads of the process itself, for locks that do not say who holds them:
  /// which of those may. Nothing: it was not looked for.
  std::optional<std::vector<WaitLink>> living_links{};
  /// The thread of the nearest ancestor that forked it, by its TID there; 0: not known.
  std::int32_t forker_own_tid = 0;
  /// Its libc is one whose lists of threads can be read.
  bool memory_knows_threads = false;
  /// The child has, or had, threads of its own, which are given the stacks of those that were not
  /// copied: what its libc remembers of these may be gone.
  bool stacks_reused = false;
  std::vector<WaitingLoop> waiting_loops{};
  std::vector<WaitedDescriptors> waited_descriptors{};
  /// TIDs of threads that wait for ever on a variable which no other thread's code refers to.
  std::vector<std::int32_t> unserved_waits{};
  std::vector<Rounds> rounds;    ///< one a thread, if they were looked at so
  std::uint64_t rounds_ms = 0;   ///< for how long
  bool read_or_wrote = false;    ///< it used descriptors meanwhile, by read() or write() and their kin
  bool has_children = false;     ///< of its own
  /// What is `settled` was so for a third of a second and more.
  bool lasted = false;
  std::uint64_t clock_ticks_per_second = 100;
  std::uint64_t now = 0;  ///< clock ticks since boot, when it was looked at; 0 unknown
};

}  // namespace forkscope
