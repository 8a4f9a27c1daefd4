// The report: what a session says, as a data structure. Printers add no logic to it.
//
// verdict::judge() is pure: session in, report out, no I/O, no clock. Addresses are resolved to
// names afterwards (symbols/), stacks of vanished threads unwound before (inspect/), both through
// the two interfaces below, so that verdict/ is testable with recorded evidence alone.
// Names of JSON fields follow these (schema forkscope.report/1, docs/report-schema.md).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "detector/record/session.hpp"

namespace forkscope {

struct Frame {
  std::uint64_t address = 0;
  std::string module;        ///< path, empty when unknown
  std::uint64_t offset = 0;  ///< address minus load bias: what addr2line takes
  std::string function;      ///< demangled, empty when unknown
  std::string file;
  int line = 0;
  bool inlined = false;  ///< an inlined call: shares its address with the frame after it
};

/// A frame of Python code, read from the interpreter's memory.
struct PythonFrame {
  std::string function;  ///< co_qualname where the interpreter keeps it, else co_name
  std::string file;
  int line = 0;  ///< 0: not known
  bool may_fork = false;  ///< its code uses a name that forks: os.fork, pty.fork
  std::vector<std::string> names{};   ///< globals and attributes that its code uses
  std::vector<std::uint64_t> locks{}; ///< words of the locks that its variables and its stack lead to
};

struct LockInfo {
  std::uint64_t address = 0;
  std::string type;    ///< "mutex", "recursive mutex", "condition variable", ...
  std::string symbol;  ///< variable it lies in, "+offset" appended when not at its start
  std::string module;
  std::uint64_t offset = 0;
  std::string mode{};               ///< how it is held where there are two ways: "read" or "write"
  bool shared = false;              ///< lies in memory shared with other processes
  std::string file{};               ///< path of the file it is a lock on, or that was mapped there
  std::optional<int> descriptor{};  ///< of a lock on a file, which has no address
  std::string name{};               ///< what the program calls it (forkscope/annotate.h)
};

struct ThreadReport {
  std::int32_t tid = 0;
  std::string name;
  std::optional<Frame> start;
  std::string state;  ///< "running", "locking", "waiting on a condition variable", ...
  std::uint64_t wait_object = 0;
  int held = 0;
  bool forker = false;
};

struct HeldReport {
  LockInfo lock;
  std::int32_t owner = 0;
  bool self = false;
  std::string evidence;  ///< as Finding::evidence
  std::optional<Frame> acquired;
};

/// At-fork handlers that were registered together, and what they did around one fork.
struct HandlerReport {
  struct Run {
    std::optional<Frame> function;
    std::uint64_t nanoseconds = 0;
    std::vector<LockInfo> taken, released;
    std::vector<LockInfo> left;  ///< taken here, and still taken when the fork was over
  };
  std::uint32_t order = 0;          ///< of registration, from 1
  std::optional<Frame> registered;  ///< the call
  std::optional<Run> prepare, parent, child;
  bool passed_by = false;  ///< the fork did not run them; the runs have the functions only
};

struct ForkReport {
  std::uint64_t id = 0;
  std::string api;  ///< "fork", "_Fork", "vfork", "posix_spawn", "clone", ...
  std::int32_t pid = 0, tid = 0, child = 0;
  std::uint64_t time = 0;
  std::optional<Frame> caller;
  std::vector<Frame> stack;  ///< only of forks a finding refers to
  std::vector<ThreadReport> threads;
  std::uint32_t threads_total = 0;
  std::vector<HeldReport> held;
  std::uint32_t dropped_locks = 0;
  std::string outcome;        ///< exec | exit | signal | running | deadlock | unknown
  std::optional<int> status;  ///< exit status or signal number
  bool still_there = false;   ///< the child lived when the report was made (not printed in JSON)
  std::optional<std::vector<HandlerReport>> handlers;  ///< nothing: none ran, or not recorded
  std::string declared_safe{};  ///< why the program takes it for safe (forkscope/annotate.h)
};

struct Finding {
  std::string kind;      ///< orphaned-lock, lost-thread, ... (FACTS classes)
  std::string severity;  ///< deadlock | latent | hazard | note
  /// proven | probable: of what was seen from outside; what the preload library reports is proven
  std::string certainty = "proven";
  std::string evidence;  ///< what decided it: owner-word, holder-table, ... (docs/report-schema.md)
  std::int32_t process = 0;
  std::string program;  ///< name of the executable that process runs
  std::uint64_t fork = 0;
  std::string
      verdict;  ///< what is wrong, a clause: "waits for ever for mutex file_lock, held by ..."
  /// "polars 1.9.0": the installed library that the waiting thread called. Empty: none is known.
  std::string library{};
  LockInfo lock;
  /// Of a lost-thread finding: the thread that is missed, `acquired` being where it waited. Of
  /// missing memory `acquired` is where madvise was called.
  struct Holder {
    std::int32_t tid = 0;
    std::string name;
    std::optional<Frame> start;
    std::vector<Frame> acquired;
    bool acquired_complete = false;  ///< the stack reached the thread's first frame
    std::vector<Frame> creator;
    bool exited = false;
    std::uint64_t uses = 0;  ///< of a latent finding: times it took the lock before the fork ...
    std::optional<double> held_share;  ///< ... and how much of the time it had it, 0 to 1
    std::vector<Frame> now;           ///< where it is, if it lives on in the parent
    std::vector<PythonFrame> python;  ///< the same, in Python
  } holder;
  struct Waiter {
    std::int32_t tid = 0;
    std::vector<Frame> stack;
    std::string call;  ///< "pthread_mutex_lock", ...
    std::vector<PythonFrame> python;
  } waiter;
  std::vector<Frame> fork_stack;
  /// The same in Python, from the function that forked on: those the child is still in.
  std::vector<PythonFrame> fork_python{};
  std::vector<ThreadReport> lost;  ///< threads that were not copied
  struct Range {
    std::uint64_t begin = 0, end = 0;
  };
  std::optional<Range> range;  ///< memory that was not copied
  /// The at-fork handler it is about, or that the call is in.
  struct Handler {
    std::string phase;        ///< prepare | parent | child; empty when not known
    std::uint32_t order = 0;  ///< of registration; 0 when not known
    std::optional<Frame> function, registered;
  };
  std::optional<Handler> handler{};
  /// Of a call of libc in a child that lost threads: docs/unsafe-calls.md.
  struct LibcCall {
    std::string function;         ///< that the child called
    std::string family;           ///< "local time"
    std::string lock;             ///< "tzset_lock"
    std::string at_fork;          ///< reset | kept, in the child of fork()
    std::string reset_since;      ///< glibc version that resets what was kept before, else empty
    std::string holder_function;  ///< that the vanished thread was inside of, else empty
  };
  std::optional<LibcCall> libc;
  std::string advice;          ///< and why: "MADV_DONTFORK"
  std::string explanation;
  /// Of a look from outside that found nothing to tie the wait to a lost thread: the explanation
  /// where the records do. Empty: the same. Not printed.
  std::string linked_explanation{};
  std::string cure;
  /// blocked | killed | aborted | exited | let through | acquired later | came back |
  /// died: SIGSEGV | died: exit status 127 | probe: found by the child of a probe, no process of
  /// the program was in it; empty when not recorded
  std::string outcome;
  bool died = false;        ///< the child did not hang, it died of this
  std::uint64_t count = 1;  ///< how many children; equal findings are merged
  std::vector<std::uint64_t>
      records;  ///< record::Finding::id of each that was merged (not printed)
  /// The same for the same finding in every run: see fingerprint.hpp.
  std::string fingerprint{};
  std::string declared_safe{};  ///< why the program takes its fork for safe
  bool known = false;           ///< the baseline accepts it
};

/// A lock that other threads than the forking one used around forks (learn=on).
struct LearnedLock {
  std::string words;  ///< the same in every run
  LockInfo lock;
  Finding::Holder user;  ///< of several the one that had it longest
  std::string function;  ///< of libc's own locks: who takes it
  std::string birth;  ///< "born:1.37" (docs/sweep.md); empty when not known, or in a module
  std::uint64_t forks = 1;
};

/// A line of a --suppressions file, and what it did.
struct RuleUse {
  std::string rule;  ///< "kind:glob"
  std::string file;
  int line = 0;
  std::uint64_t hits = 0;  ///< findings it matched, before equal ones are merged into one
};

/// A line of a --baseline file.
struct BaselineEntry {
  std::string fingerprint;
  std::string severity;
  std::string comment;  ///< what a person knows it by
};

/// How this run compares with a baseline.
struct BaselineUse {
  std::string file;
  std::vector<BaselineEntry> missing;  ///< entries that no finding was made for
};

/// A fault that was injected, or could not be (docs/injection.md).
struct InjectedReport {
  std::string spec, point, action;
  std::int32_t pid = 0, tid = 0;
  std::uint64_t time = 0;
  std::uint64_t fork = 0;       ///< id, 0: it is about none
  std::string result;           ///< a word of inject.def
  std::optional<LockInfo> lock;
  std::int32_t holder = 0;      ///< TID of the other thread, 0: none
  std::optional<Frame> caller;  ///< where that one took the lock, or called the function
  std::string function;         ///< of libc, that it was inside of
  std::string error;            ///< "EAGAIN"
  std::string probed{};         ///< of fork:probe, what its child was at: "malloc"; else empty
  std::uint64_t times = 1;      ///< probes that came to the same
  std::vector<Frame> stack;
};

struct NotObservedProgram {
  std::int32_t pid = 0;
  std::string path;
  std::string reason;       ///< a clause: "is statically linked"
  std::uint64_t count = 1;  ///< processes that ran it; pid is the first
};

struct Summary {
  std::uint64_t forks = 0, failed = 0, execed = 0, finished = 0, signalled = 0, deadlocked = 0,
                running = 0, unknown = 0;
  std::uint64_t unrecorded = 0;  ///< forks that were counted only
  std::uint64_t hazards = 0, notes = 0;
  std::uint64_t died = 0;  ///< children that died of a finding, by whatever end
  std::uint64_t safe = 0;  ///< recorded forks that cannot leave an orphaned lock, whatever is held
  std::map<std::string, std::uint64_t> apis;  ///< recorded forks by ForkReport::api
  std::uint64_t dropped_records = 0, dropped_locks = 0, dropped_threads = 0, abandoned_locks = 0;
  std::uint64_t full_histories = 0;  ///< processes with no room for another lock's use
  std::uint64_t cramped = 0;         ///< processes without address space for their records
  std::uint64_t dropped_handlers = 0;  ///< registrations of at-fork handlers that were not watched
  std::uint64_t suppressed = 0;     ///< findings that a rule suppressed, which are not in the report
  std::uint64_t known = 0;          ///< findings the baseline accepts
  std::uint64_t declared_safe = 0;  ///< findings that are notes because their fork is declared safe
  std::uint64_t injected = 0;  ///< faults injected, with those that were not recorded one by one
};

struct Report {
  std::vector<std::string> command;
  std::optional<int> exit;    ///< exit status of the command
  std::optional<int> signal;  ///< or the signal that ended it
  bool timed_out = false;
  std::vector<ForkReport> forks;
  std::vector<Finding> findings;  ///< gravest first, then in order of time
  std::vector<NotObservedProgram> not_observed;
  Summary summary;
  std::vector<Finding> suppressed{};     ///< by the rules below; in no count but their own
  std::vector<RuleUse> suppressions{};   ///< every rule given, in order
  std::optional<BaselineUse> baseline{};
  std::vector<LearnedLock> learned{};  ///< not printed: what `sweep` tries
  std::optional<std::uint64_t> seed{};      ///< of what was injected; nothing: nothing was asked for
  std::vector<std::string> inject{};        ///< what was asked for, as far as the command knows
  std::vector<InjectedReport> injected{};   ///< in order of time
};

/// Unwinds the acquisition of a finding from its registers and memory.
struct UnwoundStack {
  std::vector<std::uint64_t> addresses;  ///< return addresses, innermost first
  bool complete = false;                 ///< ended at the outermost frame of the thread
  /// Those of the addresses that are no return addresses: where a signal or a stop interrupted the
  /// thread, and the trampoline under a signal handler. Each may be the first of its function.
  std::vector<std::uint64_t> interrupted{};
};
using Unwinder = std::function<UnwoundStack(
    const record::Registers&, const std::vector<MemoryBytes>&, const std::vector<ModuleRecord>&)>;

/// Names addresses. `call` means a return address: the line of the call, not the one after it.
struct Namer {
  virtual ~Namer() = default;
  /// Innermost inlined function first; always at least one frame.
  virtual std::vector<Frame> code(std::uint64_t address, bool call,
                                  const std::vector<ModuleRecord>& modules) = 0;
  /// Fills symbol, module and offset of a data address where known.
  virtual void data(LockInfo& lock, const std::vector<ModuleRecord>& modules) = 0;
};

/// What the command found by looking at a process of the session from outside, while it ran.
struct WatchedFinding {
  /// `records` holds one number that no record has: see kWatchedRecord. `outcome` is what became of
  /// the process as far as the command saw: "blocked", "killed", "aborted", or "came back".
  Finding finding;
  std::uint64_t time = 0;  ///< CLOCK_MONOTONIC, nanoseconds
};
/// Set in Finding::records of such findings; offsets in an arena are smaller.
constexpr std::uint64_t kWatchedRecord = std::uint64_t{1} << 63;

/// What the command saw of the processes a record is about, the moment it was written.
struct FirstLook {
  std::uint64_t record = 0;         ///< record::Finding::id
  std::vector<PythonFrame> waiter;  ///< of the thread that wrote it, innermost first
  std::vector<PythonFrame> holder;  ///< of the holder, which lives on in the parent
  UnwoundStack holder_stack{};      ///< the same in machine code, before it is named ...
  std::vector<ModuleRecord> modules{};  ///< ... by these ...
  std::vector<Frame> holder_frames{};   ///< ... and after
};

/// What the command knows beside the records.
struct RunFacts {
  std::vector<std::string> command;
  std::optional<int> exit, signal;
  bool timed_out = false;
  std::vector<std::int32_t> running;  ///< processes of the tree still alive
  std::vector<WatchedFinding> watched;
  std::vector<FirstLook> looks{};
  std::optional<std::uint64_t> seed{};
  std::vector<std::string> inject{};
};

/// What not to report: see suppressions.hpp.
struct SuppressionRule {
  std::string kind;  ///< a word of kind_word(), or "*"
  std::string pattern;
  std::string file;
  int line = 0;
};

/// The verdicts of a session. What `rules` match is left out of findings and counts.
Report judge(const Session& session, const RunFacts& facts, const Unwinder& unwind, Namer& namer,
             const std::vector<SuppressionRule>& rules = {});

}  // namespace forkscope
