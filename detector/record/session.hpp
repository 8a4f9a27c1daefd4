// The command's view of a session: records parsed into ordinary values.
//
// Reading is separate from meaning: this file knows the format, verdict/ knows what it says.
// Not thread-safe; runs in the command only. A reader never trusts a byte: sizes, counts and
// offsets are checked against the file, and what does not fit is skipped and counted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "detector/record/descriptors.hpp"
#include "detector/record/record.hpp"

namespace forkscope {

/// A stretch of an observed process's memory, copied into a record.
struct MemoryBytes {
  std::uint64_t address = 0;
  std::vector<std::byte> bytes;
};

/// What every record has.
struct RecordMeta {
  std::uint64_t offset = 0;  ///< in the arena: the order of reservation
  std::int32_t pid = 0;
  std::int32_t tid = 0;
  std::uint32_t image = 0;
  std::uint64_t time = 0;  ///< CLOCK_MONOTONIC nanoseconds
  bool probe = false;      ///< by the child of a probe
};

struct HelloRecord {
  RecordMeta meta;
  std::int32_t parent = 0;
  std::string exe;
  std::vector<std::string> command;
  std::string preload;
};
struct ModuleRecord {
  RecordMeta meta;
  std::uint64_t start = 0, end = 0, bias = 0;
  std::string path;  ///< the main program's is filled in from its Hello
  /// Where to open it, when that is not `path`: a deleted file, another mount namespace.
  std::string file{};
  const std::string& open_path() const { return file.empty() ? path : file; }
};
struct ForkRecord {
  RecordMeta meta;
  record::Fork fork{};
  std::vector<record::ThreadInfo> threads;
  std::vector<record::HeldLock> held;
};
struct ForkFailedRecord {
  RecordMeta meta;
  record::ForkFailed failed{};
};
struct FindingRecord {
  RecordMeta meta;
  record::Finding finding{};
  std::vector<record::ThreadInfo> threads;
  std::vector<MemoryBytes> memory;  ///< earlier entries win where two overlap
  std::string text;
  std::uint64_t times = 1;  ///< how many processes met it, as far as they are counted together
};
struct StaticInitRecord {
  RecordMeta meta;
  record::StaticInit init{};
  MemoryBytes stack;
};
struct FindingEndRecord {
  RecordMeta meta;
  record::FindingEnd end{};
};
struct ExecRecord {
  RecordMeta meta;
  record::Exec exec{};
  std::string path;
};
struct ExecFailedRecord {
  RecordMeta meta;
  record::ExecFailed failed{};
};
struct ExitRecord {
  RecordMeta meta;
  record::Exit exit{};
};
struct ChildStatusRecord {
  RecordMeta meta;
  record::ChildStatus status{};
};
struct AtforkRecord {
  RecordMeta meta;
  record::Atfork atfork{};
};
struct HandlerRunsRecord {
  RecordMeta meta;
  record::HandlerRuns header{};
  std::vector<record::HandlerRun> runs;
  std::vector<record::HandlerLock> locks;
  std::vector<record::HeldBefore> before;
};

/// A call site of which the first child wrote a finding, and the others only their number.
struct UnsafeSiteCount {
  std::uint64_t finding = 0;  ///< record::Finding::id
  std::uint64_t children = 0;
};
struct LockNameRecord {
  RecordMeta meta;
  std::uint64_t address = 0;
  std::string name;
};
struct ForkDeclaredRecord {
  RecordMeta meta;
  std::uint64_t fork = 0;
  std::string reason;
};

struct SharedDescriptorsRecord {
  RecordMeta meta;
  record::SharedDescriptors header{};
  std::vector<record::SharedDescriptor> descriptors;
};

struct InjectedRecord {
  RecordMeta meta;
  record::Injected injected{};
  std::string spec;
  std::uint64_t times = 1;  ///< probes with this result, of which only the first wrote it
};

/// Plain copy of record::Counters.
struct CounterValues {
  std::uint64_t forks = 0, fork_failures = 0, execs = 0, exits = 0, dropped_records = 0,
                boring_forks = 0, dropped_locks = 0, dropped_threads = 0, abandoned_locks = 0,
                full_histories = 0, injected = 0, cramped = 0;
};

struct Session {
  std::vector<HelloRecord> hellos;
  std::vector<ModuleRecord> modules;
  std::vector<ForkRecord> forks;
  std::vector<ForkFailedRecord> fork_failures;
  std::vector<FindingRecord> findings;
  std::vector<FindingEndRecord> finding_ends;
  std::vector<StaticInitRecord> static_inits;
  std::vector<ExecRecord> execs;
  std::vector<ExecFailedRecord> exec_failures;
  std::vector<ExitRecord> exits;
  std::vector<ChildStatusRecord> child_statuses;
  std::vector<AtforkRecord> atforks;
  std::vector<HandlerRunsRecord> handler_runs;
  std::vector<UnsafeSiteCount> unsafe_sites;
  std::vector<LockNameRecord> lock_names;
  std::vector<ForkDeclaredRecord> declared_forks;
  std::vector<SharedDescriptorsRecord> shared_descriptors;
  std::vector<FindingRecord> learned;  ///< no findings: Type::kLearned
  std::vector<InjectedRecord> injected;
  // By children of probes, which are no children of the program: in none of the lists above.
  std::vector<ForkRecord> probe_forks;
  std::vector<FindingRecord> probe_findings;
  CounterValues counters;
  std::uint64_t skipped_bytes = 0;  ///< holes and damage between records
};

/// Parses an arena image. Throws std::runtime_error with one sentence when the header is not one of
/// this format and version; anything wrong after the header is skipped and counted.
Session parse_session(std::span<const std::byte> arena);

/// Reads SESSION/records. Throws std::runtime_error with one sentence that names the file and cure.
Session read_session(const std::string& directory);

/// The modules that were mapped where `pid` (an image of which is `image`) ran: its own records,
/// its ancestors' by fork, then others of the image. Main-program paths are filled in.
std::vector<ModuleRecord> modules_of(const Session& session, std::int32_t pid, std::uint32_t image);

}  // namespace forkscope
