#include "detector/verdict/outcomes.hpp"

#include <sys/wait.h>

#include <algorithm>
#include <csignal>
#include <limits>
#include <tuple>

namespace forkscope {
namespace {

constexpr std::uint64_t kEndOfTime = std::numeric_limits<std::uint64_t>::max();

struct Event {
  enum class What { kExec, kExecFailed, kExit, kStatus, kDeadlock, kAbort, kHello };
  std::uint64_t time, offset;
  What what;
  int status;           // of kExit as given to exit, of kStatus as wait(2) stores it
  std::uint32_t image;  // that wrote it
  std::int32_t pid;     // the child it is about
};

bool earlier(const Event& a, const Event& b) {
  return std::tie(a.time, a.offset) < std::tie(b.time, b.offset);
}

/// Everything that says something about a child's fate.
struct Events {
  std::map<std::int32_t, std::vector<Event>> by_pid;
  std::map<std::uint64_t, std::vector<Event>> by_fork;  ///< those that carry a vfork's id

  void add(const RecordMeta& meta, std::uint64_t fork, std::int32_t pid, Event::What what,
           int status = 0) {
    const Event event{meta.time, meta.offset, what, status, meta.image, pid};
    by_pid[pid].push_back(event);
    if (fork != 0) by_fork[fork].push_back(event);
  }
};

Events collect(const Session& session) {
  Events events;
  for (const auto& r : session.execs) {
    events.add(r.meta, r.exec.fork, r.meta.pid, Event::What::kExec);
  }
  for (const auto& r : session.exec_failures) {
    events.add(r.meta, r.failed.fork, r.meta.pid, Event::What::kExecFailed);
  }
  for (const auto& r : session.exits) {
    events.add(r.meta, r.exit.fork, r.meta.pid, Event::What::kExit, r.exit.status);
  }
  for (const auto& r : session.child_statuses) {
    // Stopped and continued children are still there.
    if (WIFEXITED(r.status.status) || WIFSIGNALED(r.status.status)) {
      events.add(r.meta, 0, r.status.child, Event::What::kStatus, r.status.status);
    }
  }
  for (const auto& r : session.hellos) events.add(r.meta, 0, r.meta.pid, Event::What::kHello);
  const auto ends = finding_outcomes(session);
  for (const auto& r : session.findings) {
    if (!is_hang(r, ends)) continue;
    // glibc aborts rather than wait for a priority-inheritance mutex.
    const auto end = ends.find(r.finding.id);
    const bool went_in = end == ends.end() || end->second == record::Outcome::kBlocked;
    const bool aborts = (r.finding.lock_flags & record::kLockPi) != 0 && went_in;
    events.add(r.meta, 0, r.meta.pid, aborts ? Event::What::kAbort : Event::What::kDeadlock);
  }
  for (auto& [pid, list] : events.by_pid) std::sort(list.begin(), list.end(), earlier);
  for (auto& [fork, list] : events.by_fork) std::sort(list.begin(), list.end(), earlier);
  return events;
}

/// The stretch of time in which a pid meant the child of one fork.
struct Life {
  std::size_t fork;  // index in session.forks
  std::int32_t pid;
  std::uint64_t begin, offset, end;
};

Life life_of(const Session& session, std::size_t index, const Events& events) {
  const ForkRecord& record = session.forks[index];
  Life life{index, record.fork.child, record.meta.time, record.meta.offset, kEndOfTime};
  const auto own = events.by_fork.find(record.fork.id);
  if (own != events.by_fork.end()) {
    for (const Event& event : own->second) {
      if (life.pid == 0 && event.pid != record.fork.parent) life.pid = event.pid;
      if (event.pid == life.pid) life.begin = std::min(life.begin, event.time);
    }
  }
  return life;
}

std::vector<Life> lives_of(const Session& session, const Events& events) {
  std::vector<Life> lives;
  std::map<std::int32_t, std::vector<std::size_t>> by_pid;
  for (std::size_t i = 0; i < session.forks.size(); ++i) {
    lives.push_back(life_of(session, i, events));
    if (lives[i].pid != 0) by_pid[lives[i].pid].push_back(i);
  }
  for (auto& [pid, indices] : by_pid) {
    if (indices.size() == 1 && session.forks[indices[0]].meta.pid != pid) {
      // Written by the parent, when the child may have gone on already; nobody else had this pid.
      lives[indices[0]].begin = 0;
    }
    std::sort(indices.begin(), indices.end(), [&](std::size_t a, std::size_t b) {
      return std::tie(lives[a].begin, lives[a].offset) < std::tie(lives[b].begin, lives[b].offset);
    });
    for (std::size_t i = 0; i + 1 < indices.size(); ++i) {
      lives[indices[i]].end = lives[indices[i + 1]].begin;
    }
  }
  return lives;
}

std::vector<Event> events_in(const Life& life, const Events& events) {
  std::vector<Event> mine;
  const auto list = events.by_pid.find(life.pid);
  if (life.pid != 0 && list != events.by_pid.end()) {
    const auto first =
        std::lower_bound(list->second.begin(), list->second.end(), life.begin,
                         [](const Event& e, std::uint64_t time) { return e.time < time; });
    for (auto e = first; e != list->second.end() && e->time < life.end; ++e) mine.push_back(*e);
  }
  return mine;
}

/// Recorded only when the child has another program: libc reports a failing exec as its own failure,
/// also of the shell that it starts.
bool reports_failing_exec(record::Api api) {
  switch (api) {
    case record::Api::kPosixSpawn:
    case record::Api::kPosixSpawnp:
    case record::Api::kPidfdSpawn:
    case record::Api::kPidfdSpawnp:
    case record::Api::kSystem:
    case record::Api::kPopen:
    case record::Api::kWordexp:
      return true;
    default:
      return false;
  }
}

ChildOutcome outcome_of(const ForkRecord& record, const Life& life, const Events& events,
                        bool running) {
  ChildOutcome outcome;
  outcome.child = life.pid;
  if (reports_failing_exec(record.fork.api)) {
    outcome.end = ChildEnd::kExec;
    return outcome;
  }
  bool deadlock = false, aborts = false, exec = false;
  std::optional<int> exited, status;
  for (const Event& event : events_in(life, events)) {
    switch (event.what) {
      case Event::What::kExec:
        exec = true;
        break;
      case Event::What::kExecFailed:
        exec = false;
        break;
      // An exec that no wrapper saw, by a raw system call for example.
      case Event::What::kHello:
        exec = exec || event.image != record.meta.image;
        break;
      case Event::What::kExit:
        exited = event.status;
        break;
      case Event::What::kStatus:
        status = event.status;
        break;
      case Event::What::kDeadlock:
        deadlock = deadlock || event.image == record.meta.image;
        break;
      case Event::What::kAbort:
        aborts = aborts || event.image == record.meta.image;
        break;
    }
  }
  outcome.said_exit = exited.has_value();
  const bool aborted = status && WIFSIGNALED(*status) && WTERMSIG(*status) == SIGABRT;
  if (deadlock || (aborts && !aborted)) {
    outcome.end = ChildEnd::kDeadlock;
  } else if (exec) {
    outcome.end = ChildEnd::kExec;
  } else if (status && WIFSIGNALED(*status)) {
    outcome.end = ChildEnd::kSignal;
    outcome.status = WTERMSIG(*status);
  } else if (status || exited) {
    outcome.end = ChildEnd::kExit;
    outcome.status = status ? WEXITSTATUS(*status) : (*exited & 0xff);
  } else if (running) {
    outcome.end = ChildEnd::kRunning;
  }
  return outcome;
}

}  // namespace

std::string child_end_word(ChildEnd end) {
  switch (end) {
    case ChildEnd::kUnknown:
      return "unknown";
    case ChildEnd::kExec:
      return "exec";
    case ChildEnd::kExit:
      return "exit";
    case ChildEnd::kSignal:
      return "signal";
    case ChildEnd::kRunning:
      return "running";
    case ChildEnd::kDeadlock:
      return "deadlock";
  }
  return "unknown";
}

bool is_hang(const FindingRecord& record,
             const std::map<std::uint64_t, record::Outcome>& finding_outcomes) {
  const record::Finding& f = record.finding;
  if (f.severity != record::Severity::kDeadlock || f.kind == record::Kind::kMissingMemory) {
    return false;
  }
  const auto end = finding_outcomes.find(f.id);
  return end == finding_outcomes.end() ||
         (end->second != record::Outcome::kAcquired && end->second != record::Outcome::kBroken);
}

std::map<std::uint64_t, record::Outcome> finding_outcomes(const Session& session) {
  std::map<std::uint64_t, record::Outcome> outcomes;
  for (const FindingEndRecord& r : session.finding_ends) {
    const auto [entry, is_new] = outcomes.emplace(r.end.finding, r.end.outcome);
    if (!is_new && entry->second != record::Outcome::kAcquired) entry->second = r.end.outcome;
  }
  return outcomes;
}

std::vector<ChildOutcome> child_outcomes(const Session& session, const RunFacts& facts) {
  const Events events = collect(session);
  std::vector<ChildOutcome> outcomes;
  for (const Life& life : lives_of(session, events)) {
    const bool running =
        life.pid != 0 && life.end == kEndOfTime &&
        std::find(facts.running.begin(), facts.running.end(), life.pid) != facts.running.end();
    outcomes.push_back(outcome_of(session.forks[life.fork], life, events, running));
  }
  return outcomes;
}

}  // namespace forkscope
