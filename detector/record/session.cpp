// Parses an arena image. See record.hpp for the format; nothing in here knows what records mean.
#include "detector/record/session.hpp"

#include <algorithm>
#include <cstddef>
#include <stdexcept>

#include "detector/record/byte_reader.hpp"
#include "detector/record/unsafe_calls.hpp"

namespace forkscope {
namespace {

using record::ArenaHeader;
using record::Type;

constexpr std::size_t kHeaderSize = sizeof(record::RecordHeader);

/// RecordHeader without the atomic, so that it can be copied out of the image.
struct PlainHeader {
  std::uint32_t magic, check;
  Type type;
  std::uint16_t version;
  std::uint32_t size;
  std::int32_t pid, tid;
  std::uint32_t image, probe;
  std::uint64_t time;
};
static_assert(sizeof(PlainHeader) <= kHeaderSize);
static_assert(offsetof(PlainHeader, type) == offsetof(record::RecordHeader, type));
static_assert(offsetof(PlainHeader, time) == offsetof(record::RecordHeader, time));

template <typename T>
T value_at(std::span<const std::byte> arena, std::size_t offset) {
  T value{};
  std::memcpy(&value, arena.data() + offset, sizeof(T));
  return value;
}

void check_arena(std::span<const std::byte> arena) {
  if (arena.size() < record::kArenaHeaderSize ||
      std::memcmp(arena.data(), record::kArenaMagic, sizeof(record::kArenaMagic)) != 0) {
    throw std::runtime_error("not a forkscope session: the file does not start with its signature");
  }
  const auto version = value_at<std::uint32_t>(arena, offsetof(ArenaHeader, version));
  const auto header_size = value_at<std::uint32_t>(arena, offsetof(ArenaHeader, header_size));
  if (version != record::kFormatVersion) {
    throw std::runtime_error("the session has format version " + std::to_string(version) +
                             ", this forkscope reads version " +
                             std::to_string(record::kFormatVersion) +
                             ": read it with the forkscope that wrote it");
  }
  if (header_size != record::kArenaHeaderSize) {
    throw std::runtime_error("the session's header says it is " + std::to_string(header_size) +
                             " bytes long, expected " + std::to_string(record::kArenaHeaderSize) +
                             ": the file is damaged");
  }
}

CounterValues read_counters(std::span<const std::byte> arena) {
  const auto counter = [&](std::size_t offset) {
    return value_at<std::uint64_t>(arena, offsetof(ArenaHeader, counters) + offset);
  };
  using record::Counters;
  CounterValues values;
  values.forks = counter(offsetof(Counters, forks));
  values.fork_failures = counter(offsetof(Counters, fork_failures));
  values.execs = counter(offsetof(Counters, execs));
  values.exits = counter(offsetof(Counters, exits));
  values.dropped_records = counter(offsetof(Counters, dropped_records));
  values.boring_forks = counter(offsetof(Counters, boring_forks));
  values.dropped_locks = counter(offsetof(Counters, dropped_locks));
  values.dropped_threads = counter(offsetof(Counters, dropped_threads));
  values.full_histories = counter(offsetof(Counters, full_histories));
  values.cramped = counter(offsetof(Counters, cramped));
  values.abandoned_locks = counter(offsetof(Counters, abandoned_locks));
  values.injected = counter(offsetof(Counters, injected));
  return values;
}

/// A valid header at `offset` whose record fits into the arena.
bool read_header(std::span<const std::byte> arena, std::uint64_t offset, PlainHeader& header) {
  if (arena.size() - offset < kHeaderSize) return false;
  // The writer stores the magic last, with release: in a live arena what follows is complete only
  // when read after it. Records are aligned, so the load is.
  const auto* magic = reinterpret_cast<const std::uint32_t*>(arena.data() + offset);
  if (__atomic_load_n(magic, __ATOMIC_ACQUIRE) != record::kRecordMagic) return false;
  header = value_at<PlainHeader>(arena, offset);
  return header.version == record::kFormatVersion && header.size >= kHeaderSize &&
         header.size <= arena.size() - offset &&
         header.check ==
             record::header_check(offset, header.type, header.size, header.pid, header.time);
}

bool parse(ByteReader& in, HelloRecord& out) {
  record::Hello hello{};
  std::string arguments;
  if (!in.read(hello) || !in.read(out.exe, hello.exe_length) ||
      !in.read(arguments, hello.command_length) || !in.read(out.preload, hello.name_length)) {
    return false;
  }
  out.parent = hello.parent;
  for (std::size_t begin = 0; begin < arguments.size();) {
    const std::size_t end = std::min(arguments.find('\0', begin), arguments.size());
    out.command.push_back(arguments.substr(begin, end - begin));
    begin = end + 1;
  }
  return true;
}

bool parse(ByteReader& in, ModuleRecord& out) {
  record::Module module{};
  if (!in.read(module) || !in.read(out.path, module.path_length)) return false;
  out.start = module.start;
  out.end = module.end;
  out.bias = module.bias;
  return out.start < out.end;
}

bool is_known(record::Api api) {
  switch (api) {
#define FORKSCOPE_API(id, name, memory, handlers) case record::Api::id:
#include "detector/record/apis.def"
#undef FORKSCOPE_API
    return true;
  }
  return false;
}

bool is_known(record::LockType type) {
  switch (type) {
#define FORKSCOPE_LOCK_TYPE(id, words) case record::LockType::id:
#include "detector/record/lock_types.def"
#undef FORKSCOPE_LOCK_TYPE
    return true;
  }
  return false;
}

bool is_known(record::Call call) {
  switch (call) {
#define FORKSCOPE_CALL(id, name, waits) case record::Call::id:
#include "detector/record/calls.def"
#undef FORKSCOPE_CALL
    return true;
  }
  return false;
}

bool are_known(const std::vector<record::ThreadInfo>& threads) {
  return std::all_of(threads.begin(), threads.end(), [](const record::ThreadInfo& thread) {
    return thread.state <= record::kLastThreadState;
  });
}

bool are_known(const std::vector<record::HeldLock>& locks) {
  return std::all_of(locks.begin(), locks.end(),
                     [](const record::HeldLock& lock) { return is_known(lock.type); });
}

bool parse(ByteReader& in, ForkRecord& out) {
  return in.read(out.fork) && out.fork.frames <= record::kMaxFrames && is_known(out.fork.api) &&
         in.read(out.threads, out.fork.threads) && are_known(out.threads) &&
         in.read(out.held, out.fork.held) && are_known(out.held);
}

bool parse(ByteReader& in, FindingRecord& out) {
  record::Finding& f = out.finding;
  if (!in.read(f) || f.waiter_frames > record::kMaxFrames ||
      f.holder_creator_frames > record::kMaxCreatorFrames || f.kind > record::kLastKind ||
      f.severity > record::Severity::kNote || f.evidence > record::kLastEvidence ||
      f.handler_phase > record::HandlerPhase::kChild || !is_known(f.call) ||
      std::size_t(f.probed) >= inject_probed_count() ||
      !is_known(f.lock_type) || !in.read(out.threads, f.threads) || !are_known(out.threads)) {
    return false;
  }
  for (std::uint32_t i = 0; i < f.slices; ++i) {
    record::MemorySlice slice{};
    MemoryBytes memory;
    if (!in.read(slice) || slice.address + slice.size < slice.address ||
        !in.read(memory.bytes, slice.size)) {
      return false;
    }
    memory.address = slice.address;
    in.skip((8 - slice.size % 8) % 8);
    out.memory.push_back(std::move(memory));
  }
  return in.read(out.text, f.text_length);
}

bool parse(ByteReader& in, StaticInitRecord& out) {
  out.stack.address = 0;
  if (!in.read(out.init) || !in.read(out.stack.bytes, out.init.stack_size)) return false;
  out.stack.address = out.init.acquired.sp;
  return out.stack.address + out.init.stack_size >= out.stack.address;
}

bool parse(ByteReader& in, ExecRecord& out) {
  return in.read(out.exec) && out.exec.reason <= record::NotObserved::kConfined &&
         in.read(out.path, out.exec.path_length);
}
bool parse(ByteReader& in, ForkFailedRecord& out) {
  return in.read(out.failed) && is_known(out.failed.api);
}
bool parse(ByteReader& in, FindingEndRecord& out) {
  return in.read(out.end) && out.end.outcome <= record::Outcome::kAcquired;
}
bool parse(ByteReader& in, LockNameRecord& out) {
  record::LockName name{};
  if (!in.read(name) || !in.read(out.name, name.length)) return false;
  out.address = name.address;
  return true;
}
bool parse(ByteReader& in, ForkDeclaredRecord& out) {
  record::ForkDeclared declared{};
  if (!in.read(declared) || !in.read(out.reason, declared.length)) return false;
  out.fork = declared.fork;
  return true;
}
bool parse(ByteReader& in, ExecFailedRecord& out) { return in.read(out.failed); }
bool parse(ByteReader& in, ExitRecord& out) { return in.read(out.exit); }
bool parse(ByteReader& in, ChildStatusRecord& out) { return in.read(out.status); }

bool parse(ByteReader& in, AtforkRecord& out) { return in.read(out.atfork); }

bool are_known(const std::vector<record::HandlerRun>& runs) {
  return std::all_of(runs.begin(), runs.end(), [](const record::HandlerRun& run) {
    return run.phase <= record::HandlerPhase::kChild;
  });
}
bool are_known(const std::vector<record::HandlerLock>& locks, std::size_t runs) {
  return std::all_of(locks.begin(), locks.end(), [&](const record::HandlerLock& lock) {
    return is_known(lock.type) && lock.event <= record::LockEvent::kLeft && lock.run < runs;
  });
}
bool are_known(const std::vector<record::HeldBefore>& locks) {
  return std::all_of(locks.begin(), locks.end(),
                     [](const record::HeldBefore& lock) { return is_known(lock.type); });
}

bool parse(ByteReader& in, HandlerRunsRecord& out) {
  return in.read(out.header) && out.header.last_phase <= record::HandlerPhase::kChild &&
         in.read(out.runs, out.header.runs) && are_known(out.runs) &&
         in.read(out.locks, out.header.locks) && are_known(out.locks, out.runs.size()) &&
         in.read(out.before, out.header.before) && are_known(out.before);
}

bool are_known(const std::vector<record::SharedDescriptor>& descriptors) {
  const auto known = [](const record::DescriptorUsedAt (&uses)[record::kDescriptorUses]) {
    return std::all_of(std::begin(uses), std::end(uses), [](const record::DescriptorUsedAt& use) {
      return use.call < record::kDescriptorCallCount;
    });
  };
  return std::all_of(descriptors.begin(), descriptors.end(),
                     [&](const record::SharedDescriptor& one) {
                       return one.type <= record::kLastDescriptorType &&
                              one.kept <= record::kKeptAlone && known(one.child) &&
                              known(one.parent);
                     });
}

bool parse(ByteReader& in, SharedDescriptorsRecord& out) {
  return in.read(out.header) && in.read(out.descriptors, out.header.count) &&
         are_known(out.descriptors);
}

bool parse(ByteReader& in, InjectedRecord& out) {
  const record::Injected& injected = out.injected;
  return in.read(out.injected) && std::size_t(injected.action) < inject_action_count() &&
         std::size_t(injected.result) < inject_result_count() &&
         std::size_t(injected.probed) < inject_probed_count() && is_known(injected.lock_type) &&
         injected.function < record::kUnsafeCallCount && injected.frames <= record::kMaxFrames &&
         in.read(out.spec, injected.text_length);
}

void take_sites(ByteReader in, std::vector<UnsafeSiteCount>& into) {
  struct {
    std::uint64_t key, finding, children;
  } site{};
  static_assert(sizeof site == sizeof(record::UnsafeSite));
  while (in.read(site))
    if (site.finding != 0) into.push_back({site.finding, site.children});
}

/// Appends the record when its payload makes sense.
template <typename Record>
bool take(const RecordMeta& meta, std::span<const std::byte> payload, std::vector<Record>& into) {
  Record parsed;
  parsed.meta = meta;
  ByteReader in(payload);
  if (!parse(in, parsed)) return false;
  into.push_back(std::move(parsed));
  return true;
}

/// The child of a probe is no child of the program: what it forked and found is kept apart, and
/// nothing else it wrote but names matters.
bool take_of_probe(Session& session, Type type, const RecordMeta& meta,
                   std::span<const std::byte> payload) {
  switch (type) {
    case Type::kModule:
      return take(meta, payload, session.modules);
    case Type::kLockName:
      return take(meta, payload, session.lock_names);
    case Type::kFork:
      return take(meta, payload, session.probe_forks);
    case Type::kFinding:
      return take(meta, payload, session.probe_findings);
    default:
      return true;
  }
}

bool take(Session& session, Type type, const RecordMeta& meta, std::span<const std::byte> payload) {
  if (meta.probe) return take_of_probe(session, type, meta, payload);
  switch (type) {
    case Type::kHello:
      return take(meta, payload, session.hellos);
    case Type::kModule:
      return take(meta, payload, session.modules);
    case Type::kFork:
      return take(meta, payload, session.forks);
    case Type::kForkFailed:
      return take(meta, payload, session.fork_failures);
    case Type::kFinding:
      return take(meta, payload, session.findings);
    case Type::kStaticInit:
      return take(meta, payload, session.static_inits);
    case Type::kFindingEnd:
      return take(meta, payload, session.finding_ends);
    case Type::kExec:
      return take(meta, payload, session.execs);
    case Type::kExecFailed:
      return take(meta, payload, session.exec_failures);
    case Type::kExit:
      return take(meta, payload, session.exits);
    case Type::kChildStatus:
      return take(meta, payload, session.child_statuses);
    case Type::kAtfork:
      return take(meta, payload, session.atforks);
    case Type::kHandlerRuns:
      return take(meta, payload, session.handler_runs);
    case Type::kUnsafeSites:
      take_sites(ByteReader(payload), session.unsafe_sites);
      return true;
    case Type::kLockName:
      return take(meta, payload, session.lock_names);
    case Type::kForkDeclared:
      return take(meta, payload, session.declared_forks);
    case Type::kSharedDescriptors:
      return take(meta, payload, session.shared_descriptors);
    case Type::kLearned:
      return take(meta, payload, session.learned);
    case Type::kInjected:
      return take(meta, payload, session.injected);
  }
  return false;  // a type of a damaged record
}

/// The loader knows the main program by an empty name; its Hello knows the path.
void name_main_programs(Session& session) {
  std::map<std::uint32_t, const std::string*> executables;
  for (const HelloRecord& hello : session.hellos) executables.emplace(hello.meta.image, &hello.exe);
  for (ModuleRecord& module : session.modules) {
    if (!module.path.empty()) continue;
    const auto found = executables.find(module.meta.image);
    if (found != executables.end()) module.path = *found->second;
  }
}

/// How often what many processes met was met.
void count_repeats(std::span<const std::byte> arena, Session& session) {
  const auto count = [&](std::uint32_t repeat, std::uint64_t& times) {
    if (repeat == 0 || repeat > record::kRepeats) return;
    times = value_at<std::uint64_t>(
        arena, offsetof(ArenaHeader, repeats) + (repeat - 1) * sizeof(record::Repeat) +
                   offsetof(record::Repeat, count));
  };
  for (FindingRecord& record : session.findings) count(record.finding.repeat, record.times);
  for (FindingRecord& record : session.probe_findings) count(record.finding.repeat, record.times);
  for (InjectedRecord& record : session.injected) count(record.injected.repeat, record.times);
}

}  // namespace

Session parse_session(std::span<const std::byte> arena) {
  check_arena(arena);
  Session session;
  session.counters = read_counters(arena);
  // The tail only limits what counts as skipped, not what is read: were it damaged, the records
  // would still be there.
  const auto tail = value_at<std::uint64_t>(arena, offsetof(ArenaHeader, tail));
  const auto skip = [&](std::uint64_t begin, std::uint64_t end) {
    const std::uint64_t last = std::min<std::uint64_t>({end, tail, arena.size()});
    if (begin < last) session.skipped_bytes += last - begin;
  };

  std::uint64_t offset = record::kArenaHeaderSize;
  while (offset < arena.size()) {
    PlainHeader header{};
    if (!read_header(arena, offset, header)) {
      skip(offset, offset + record::kRecordAlign);
      offset += record::kRecordAlign;
      continue;
    }
    const RecordMeta meta{offset,       header.pid,  header.tid,
                          header.image, header.time, header.probe == 1};
    const auto payload = arena.subspan(offset + kHeaderSize, header.size - kHeaderSize);
    const std::uint64_t end = offset + record::padded(header.size);
    if (!take(session, header.type, meta, payload)) skip(offset, end);
    offset = end;
  }
  count_repeats(arena, session);
  name_main_programs(session);
  return session;
}

}  // namespace forkscope
