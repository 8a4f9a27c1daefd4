#include "detector/verdict/handlers.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>
#include <span>
#include <utility>

#include "detector/verdict/cures.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/sentences.hpp"
#include "detector/verdict/words.hpp"

namespace forkscope {
namespace {

using record::HandlerPhase;
using record::LockEvent;

bool is_mutex(record::LockType type) {
  return type == record::LockType::kUnknown || type == record::LockType::kMutexNormal ||
         type == record::LockType::kMutexRecursive || type == record::LockType::kMutexErrorcheck ||
         type == record::LockType::kMutexAdaptive;
}

/// What all findings here have.
Candidate begun(record::Severity severity, const char* evidence, std::int32_t process,
                const AddressSpace& space) {
  Candidate candidate;
  Finding& finding = candidate.finding;
  finding.kind = kind_word(record::Kind::kAtforkHandler);
  finding.severity = severity_word(severity);
  finding.evidence = evidence;
  finding.process = process;
  finding.program = base_name(space.executable());
  return candidate;
}

void fill_cure(Finding& finding, const AddressSpace& space) {
  finding.cure =
      cure_for(cure_facts_of(finding, space.executable(), record::Kind::kAtforkHandler));
}

void fill_fork(Candidate& candidate, const ForkRecord& fork, const AddressSpace& space) {
  candidate.time = fork.meta.time;
  candidate.finding.fork = fork.fork.id;
  candidate.finding.fork_stack = space.stack({fork.fork.stack, fork.fork.frames});
}

// ---- lock-order ---------------------------------------------------------------------------------

/// One prepare handler takes `first`, then the same or another one takes `second`.
struct Taken {
  const record::HandlerLock* first;
  const record::HandlerLock* second;
  std::set<std::uint64_t> held;  ///< what else the forking thread had when it took the second
};

std::vector<Taken> pairs_taken(const HandlerRunsRecord& record) {
  std::set<std::uint64_t> own;
  for (const record::HeldBefore& lock : record.before)
    if (lock.self) own.insert(lock.address);
  std::vector<const record::HandlerLock*> held;
  std::vector<Taken> pairs;
  for (const record::HandlerLock& lock : record.locks) {
    if (record.runs[lock.run].phase != HandlerPhase::kPrepare) continue;
    if (lock.event == LockEvent::kReleased)
      std::erase_if(held, [&](const auto* one) { return one->address == lock.address; });
    if (lock.event != LockEvent::kTaken) continue;
    for (const record::HandlerLock* first : held) {
      if (!is_mutex(first->type) || !is_mutex(lock.type) || !lock.ordered) continue;
      Taken taken{first, &lock, own};
      for (const record::HandlerLock* other : held)
        if (other != first) taken.held.insert(other->address);
      pairs.push_back(std::move(taken));
    }
    held.push_back(&lock);
  }
  return pairs;
}

/// The other thread had `first`'s lock only after `second`'s, and no third lock kept the two of
/// them apart.
struct Inversion {
  const record::HeldBefore* first;
  const record::HeldBefore* second;
};

std::optional<Inversion> inversion_of(const Taken& taken,
                                      std::span<const record::HeldBefore> thread) {
  const auto find = [&](std::uint64_t address) {
    return std::find_if(thread.begin(), thread.end(),
                        [&](const auto& one) { return one.address == address; });
  };
  const auto first = find(taken.first->address), second = find(taken.second->address);
  if (first == thread.end() || second == thread.end() || second > first) return std::nullopt;
  if (!first->ordered || !second->ordered) return std::nullopt;
  for (auto other = thread.begin(); other != first; ++other)
    if (other != second && taken.held.count(other->address)) return std::nullopt;
  return Inversion{&*first, &*second};
}

Candidate inversion_finding(const HandlerRunsRecord& record, const ForkRecord& fork,
                            const Taken& taken, const Inversion& inversion, const HandlerBook& book,
                            const AddressSpace& space) {
  Candidate candidate = begun(record::Severity::kLatent, "lock-order", fork.fork.parent, space);
  fill_fork(candidate, fork, space);
  Finding& finding = candidate.finding;
  const auto lock_info = [&](const record::HandlerLock& lock) {
    return space.lock(lock.address, lock_type_words(lock.type, lock.flags));
  };
  const auto handler = [&](const record::HandlerLock& lock) {
    return handler_at(book.registration(record.runs[lock.run].atfork), HandlerPhase::kPrepare,
                      space);
  };
  finding.lock = lock_info(*taken.second);
  const LockInfo first = lock_info(*taken.first);
  finding.handler = handler(*taken.second);
  finding.holder.tid = inversion.second->tid;
  for (const record::ThreadInfo& thread : fork.threads) {
    if (thread.tid != inversion.second->tid) continue;
    finding.holder.name = thread_name(thread.name);
    finding.holder.start = space.function(thread.start);
  }
  finding.holder.acquired = space.stack({&inversion.second->caller, 1});
  finding.waiter.tid = fork.fork.parent_tid;
  finding.waiter.stack = space.stack({&taken.second->caller, 1});
  const std::string other = thread_words(finding.holder.tid, finding.holder.name);
  finding.verdict = fmt::format(
      "can wait for ever inside {} for {}: {} takes two locks the other "
      "way round",
      call_words(api_word(fork.fork.api)), lock_words(finding.lock), other);
  finding.explanation = fmt::format(
      "Before the process is copied, the {} takes {}, and then the {} takes {}. {} had both when "
      "{}, "
      "and had taken {} first. If it takes that one just before a fork and the other just after "
      "the "
      "handler has, each waits for the other: the fork never returns, and no child is made.",
      handler_words(handler(*taken.first)), lock_words(first), handler_words(*finding.handler),
      lock_words(finding.lock), capitalised(other), fork_clause(fork), lock_words(finding.lock));
  fill_cure(finding, space);
  candidate.aspect = fmt::format("{} after {} {} {}", finding.evidence, first.type,
                                 module_name(first.module), first.symbol);
  return candidate;
}

void find_inversions(const HandlerRunsRecord& record, const ForkRecord& fork,
                     const HandlerBook& book, const AddressSpace& space,
                     std::vector<Candidate>& found) {
  const std::span before(record.before);
  std::vector<Taken> pairs;
  for (std::size_t begin = 0, end = 0; begin < before.size(); begin = end) {
    while (end < before.size() && before[end].tid == before[begin].tid) ++end;
    if (before[begin].self) continue;
    if (pairs.empty()) pairs = pairs_taken(record);
    for (const Taken& taken : pairs)
      if (const auto inversion = inversion_of(taken, before.subspan(begin, end - begin)))
        found.push_back(inversion_finding(record, fork, taken, *inversion, book, space));
  }
}

// ---- not-released -------------------------------------------------------------------------------

void find_left_locked(const HandlerRunsRecord& record, const ForkRecord& fork,
                      const HandlerBook& book, const AddressSpace& space,
                      const std::set<std::pair<std::uint64_t, std::uint64_t>>& told,
                      std::vector<Candidate>& found) {
  const bool in_child = record.header.last_phase == HandlerPhase::kChild;
  for (const record::HandlerLock& lock : record.locks) {
    if (lock.event != LockEvent::kLeft) continue;
    if (in_child && told.count({fork.fork.id, lock.address})) continue;
    Candidate candidate = begun(record::Severity::kHazard, "not-released",
                                in_child ? record.meta.pid : fork.fork.parent, space);
    fill_fork(candidate, fork, space);
    Finding& finding = candidate.finding;
    finding.lock = space.lock(lock.address, lock_type_words(lock.type, lock.flags));
    finding.lock.mode = mode_word(lock.type, lock.flags);
    finding.handler =
        handler_at(book.registration(record.runs[lock.run].atfork), HandlerPhase::kPrepare, space);
    finding.holder.tid = fork.fork.parent_tid;
    finding.holder.acquired = space.stack({&lock.caller, 1});
    const char* where = in_child ? "child" : "parent";
    finding.verdict = fmt::format("went on after {} with {} locked, which its prepare handler took",
                                  call_words(api_word(fork.fork.api)), lock_words(finding.lock));
    finding.explanation = fmt::format(
        "The {} took {} before the process was copied, and no {} handler gave it back or set it up "
        "anew. Whoever takes it next in the {} waits for ever.",
        handler_words(*finding.handler), lock_words(finding.lock), where, where);
    finding.cure = fmt::format(
        "What a prepare handler takes has to be given back twice: by the parent handler and by the "
        "child handler of the same pthread_atfork(). In the child set up anew "
        "(pthread_mutex_init()) "
        "what compares thread ids: recursive, error-checking and robust mutexes.");
    candidate.aspect = fmt::format("{} in the {}", finding.evidence, where);
    found.push_back(std::move(candidate));
  }
}

// ---- registered-late, registered-in-handler -----------------------------------------------------

/// Any of its functions names it.
HandlerPhase some_phase(const record::Atfork& atfork) {
  for (HandlerPhase phase : {HandlerPhase::kPrepare, HandlerPhase::kChild, HandlerPhase::kParent})
    if (atfork.function[std::size_t(phase)] != 0) return phase;
  return HandlerPhase::kPrepare;
}

/// Whether the object of the handlers was there at that fork: only then had it locks to protect.
bool was_loaded(const AtforkRecord& record, const ForkRecord& fork, const Context& context,
                const AddressSpace& space) {
  const std::uint64_t address = record.atfork.function[std::size_t(some_phase(record.atfork))];
  return std::any_of(
      context.session.modules.begin(), context.session.modules.end(),
      [&](const ModuleRecord& module) {
        return module.meta.image == record.meta.image && address >= module.start &&
               address < module.end &&
               (module.path == space.executable() || module.meta.time <= fork.meta.time);
      });
}

/// For a fingerprint: no address.
std::string frame_identity(const std::optional<Frame>& frame) {
  if (!frame) return "-";
  return module_name(frame->module) + ":" + without_parameters(frame->function);
}

Candidate registration_finding(const AtforkRecord& record, const char* evidence,
                               const AddressSpace& space) {
  Candidate candidate = begun(record::Severity::kNote, evidence, record.meta.pid, space);
  candidate.time = record.meta.time;
  Finding& finding = candidate.finding;
  finding.handler = handler_at(&record.atfork, some_phase(record.atfork), space);
  candidate.aspect = fmt::format("{} {} {}", evidence, frame_identity(finding.handler->registered),
                                 frame_identity(finding.handler->function));
  return candidate;
}

void find_late(const AtforkRecord& record, const Context& context,
               const std::vector<ChildOutcome>& outcomes, std::vector<Candidate>& found) {
  const AddressSpace& space = context.spaces.of(record.meta);
  const ForkRecord* earlier = nullptr;
  std::uint64_t count = 0;
  for (std::size_t i = 0; i < context.session.forks.size(); ++i) {
    const ForkRecord& fork = context.session.forks[i];
    if (fork.fork.parent != record.meta.pid || fork.meta.image != record.meta.image ||
        fork.fork.id >= record.atfork.next_fork || fork.fork.threads_total < 2 ||
        record::memory_of(fork.fork.api) != record::ChildMemory::kCopied ||
        record::handlers_of(fork.fork.api) != record::Handlers::kRun ||
        outcomes[i].end == ChildEnd::kExec || !was_loaded(record, fork, context, space))
      continue;
    if (earlier == nullptr) earlier = &fork;
    ++count;
  }
  if (earlier == nullptr) return;
  Candidate candidate = registration_finding(record, "registered-late", space);
  Finding& finding = candidate.finding;
  finding.fork = earlier->fork.id;
  finding.fork_stack =
      context.spaces.of(earlier->meta).stack({earlier->fork.stack, earlier->fork.frames});
  finding.verdict = fmt::format("registered at-fork handlers after {} beside other threads",
                                count == 1 ? "a fork" : fmt::format("{} forks", count));
  finding.explanation = fmt::format(
      "The {} was not there yet when {} in a process of {} threads: what it protects was not "
      "protected in {}.",
      handler_words(*finding.handler), fork_clause(*earlier), earlier->fork.threads_total,
      count == 1 ? fmt::format("process {}", earlier->fork.child)
                 : fmt::format("{} children, process {} first", count, earlier->fork.child));
  finding.cure =
      "Register the handlers before the first thread is started: in a constructor of the library, "
      "or at the start of main(), not at first use.";
  found.push_back(std::move(candidate));
}

void find_in_handler(const AtforkRecord& record, const Context& context,
                     std::vector<Candidate>& found) {
  if (!record.atfork.inside_handler) return;
  const AddressSpace& space = context.spaces.of(record.meta);
  Candidate candidate = registration_finding(record, "registered-in-handler", space);
  Finding& finding = candidate.finding;
  finding.verdict = "registered at-fork handlers inside an at-fork handler";
  finding.explanation = fmt::format(
      "The {} was registered while a handler of a fork ran. For that fork libc does not run it. "
      "Before glibc 2.36 such a call waited for ever, for the lock of the list of handlers, if the "
      "process had threads. A handler that registers itself at each fork also runs more often each "
      "time.",
      handler_words(*finding.handler));
  finding.cure =
      "Register handlers once, before the first fork: in a constructor of the library or at the "
      "start of main().";
  found.push_back(std::move(candidate));
}

}  // namespace

std::vector<Candidate> handler_findings(const Context& context,
                                        const std::vector<ChildOutcome>& outcomes) {
  std::vector<Candidate> found;
  std::set<std::pair<std::uint64_t, std::uint64_t>> told = context.watched_locks;
  for (const FindingRecord& record : context.session.findings)
    told.emplace(record.finding.fork, record.finding.lock);
  std::set<std::uint64_t> execed;
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    if (outcomes[i].end == ChildEnd::kExec) execed.insert(context.session.forks[i].fork.id);

  const HandlerBook book(context.session);
  for (const HandlerRunsRecord& record : context.session.handler_runs) {
    const auto fork = context.fork_by_id.find(record.header.fork);
    if (fork == context.fork_by_id.end()) continue;
    const AddressSpace& space =
        context.spaces.of(fork->second->meta);
    const bool in_child = record.header.last_phase == HandlerPhase::kChild;
    if (!in_child) find_inversions(record, *fork->second, book, space, found);
    if (!in_child || !execed.count(record.header.fork))
      find_left_locked(record, *fork->second, book, space, told, found);
  }
  for (const AtforkRecord& record : context.session.atforks) {
    find_late(record, context, outcomes, found);
    find_in_handler(record, context, found);
  }
  return found;
}

}  // namespace forkscope
