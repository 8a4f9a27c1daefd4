// At-fork handlers: what is said of them, from records written down by hand.
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::Evidence;
using record::HandlerPhase;
using record::HeldBefore;
using record::Kind;
using record::LockEvent;
using record::LockType;
using record::Severity;

namespace {

constexpr std::uint64_t kPrepareTable = 0x1110, kPrepareIndex = 0x1120, kGive = 0x1130,
                        kRegister = 0x1140, kUpdate = 0x1150, kGateLock = 0x1a00;
constexpr std::int32_t kForker = 101, kOther = 102;

/// Process 100 with two registrations; the second one's prepare runs first and takes kLock, the
/// first one's takes kOtherLock. Fork 1 makes process 200.
struct Handlers : Story {
  std::uint64_t index, table;
  record::HandlerRuns header{};
  std::vector<record::HandlerRun> runs;
  std::vector<record::HandlerLock> locks;
  std::vector<HeldBefore> before;

  Handlers() {
    namer.function(kPrepareTable, "lock_table");
    namer.function(kPrepareIndex, "lock_index");
    namer.function(kGive, "unlock");
    namer.function(kRegister, "protect");
    namer.function(kUpdate, "update");
    namer.variable(kGateLock, "gate");
    index = arena.atfork(registration(1, kPrepareIndex));
    table = arena.atfork(registration(2, kPrepareTable));
    forked(1, 200, {});
    header.fork = 1;
    header.last_phase = HandlerPhase::kParent;
    runs = {run(table, 2), run(index, 1)};
    locks = {taken(kLock, 0), taken(kOtherLock, 1)};
  }
  static record::Atfork registration(std::uint32_t order, std::uint64_t prepare) {
    return {{prepare, kGive, kGive}, kRegister, 1, order, 0, 0, {}};
  }
  static record::HandlerRun run(std::uint64_t atfork, std::uint32_t order,
                                HandlerPhase phase = HandlerPhase::kPrepare) {
    return {atfork, 1000, order, phase, 0, {}};
  }
  static record::HandlerLock taken(std::uint64_t lock, std::uint32_t run,
                                   LockEvent event = LockEvent::kTaken) {
    return {lock, kReadRowGroup, run, event, LockType::kMutexNormal, 0, 1};
  }
  static HeldBefore held(std::uint64_t lock, std::int32_t tid = kOther) {
    return {lock, kUpdate, tid, LockType::kMutexNormal, 0, tid == kForker, 1};
  }
  std::vector<Finding> found() {
    arena.as(100, kForker).handler_runs(header, runs, locks, before);
    return judged().findings;
  }
};

}  // namespace

TEST_CASE("lock order AB in prepare, BA in another thread: latent", "[judge][handlers]") {
  Handlers story;
  story.before = {Handlers::held(kOtherLock), Handlers::held(kLock)};
  const auto found = story.found();
  REQUIRE(found.size() == 1);
  const Finding& f = found[0];
  CHECK(f.kind == "atfork-handler");
  CHECK(f.severity == "latent");
  CHECK(f.evidence == "lock-order");
  CHECK(f.process == 100);
  CHECK(
      f.verdict ==
      "can wait for ever inside fork() for mutex orders.index_lock: thread 102 (row-reader) takes "
      "two locks the other way round");
  CHECK_THAT(
      f.explanation,
      Contains("the prepare handler lock_table() of reader takes mutex orders.file_lock, and "
               "then the prepare handler lock_index() of reader takes mutex "
               "orders.index_lock") &&
          Contains("had taken mutex orders.index_lock first"));
  CHECK(f.holder.acquired.at(0).function == "update");
  REQUIRE(f.handler);
  CHECK(f.handler->phase == "prepare");
  CHECK(f.handler->order == 1);
  CHECK(f.handler->function->function == "lock_index");
  CHECK_FALSE(f.cure.empty());
}

TEST_CASE("lock order AB in both: nothing", "[judge][handlers]") {
  Handlers story;
  story.before = {Handlers::held(kLock), Handlers::held(kOtherLock)};
  CHECK(story.found().empty());
}

TEST_CASE("lock order of which one was only tried, or moved in the table: nothing",
          "[judge][handlers]") {
  for (int which : {0, 1}) {
    Handlers story;
    story.before = {Handlers::held(kOtherLock), Handlers::held(kLock)};
    story.before[which].ordered = 0;
    CHECK(story.found().empty());
  }
  Handlers tries;
  tries.before = {Handlers::held(kOtherLock), Handlers::held(kLock)};
  tries.locks[1].ordered = 0;
  CHECK(tries.found().empty());
}

TEST_CASE("a third lock that both have keeps them apart", "[judge][handlers]") {
  Handlers gate_in_handler;
  gate_in_handler.before = {Handlers::held(kGateLock), Handlers::held(kOtherLock),
                            Handlers::held(kLock)};
  gate_in_handler.locks.insert(gate_in_handler.locks.begin(), Handlers::taken(kGateLock, 0));
  CHECK(gate_in_handler.found().empty());

  Handlers gate_around_fork;
  gate_around_fork.before = {Handlers::held(kGateLock, kForker), Handlers::held(kGateLock),
                             Handlers::held(kOtherLock), Handlers::held(kLock)};
  CHECK(gate_around_fork.found().empty());

  Handlers of_one_only;
  of_one_only.before = {Handlers::held(kGateLock), Handlers::held(kOtherLock),
                        Handlers::held(kLock)};
  CHECK(of_one_only.found().size() == 1);
}

TEST_CASE("a lock that prepare gave back before the next is in no order", "[judge][handlers]") {
  Handlers story;
  story.before = {Handlers::held(kOtherLock), Handlers::held(kLock)};
  story.locks.insert(story.locks.begin() + 1, Handlers::taken(kLock, 0, LockEvent::kReleased));
  CHECK(story.found().empty());
}

TEST_CASE("threads are not mixed: one has the one lock, one the other", "[judge][handlers]") {
  Handlers story;
  story.before = {Handlers::held(kOtherLock, 102), Handlers::held(kLock, 103)};
  CHECK(story.found().empty());
}

TEST_CASE("the same inversion at many forks is one finding", "[judge][handlers]") {
  Handlers story;
  story.before = {Handlers::held(kOtherLock), Handlers::held(kLock)};
  story.forked(2, 201, {});
  story.header.fork = 2;
  story.arena.as(100, kForker).handler_runs(story.header, story.runs, story.locks, story.before);
  story.header.fork = 1;
  const auto found = story.found();
  REQUIRE(found.size() == 1);
  CHECK(found[0].count == 2);
}

TEST_CASE("left locked in the child: a hazard, unless it exec'ed or the lock has a finding",
          "[judge][handlers]") {
  const auto left = [](Handlers& story) {
    story.header.last_phase = HandlerPhase::kChild;
    story.locks.push_back(Handlers::taken(kLock, 0, LockEvent::kLeft));
    story.arena.as(200, 200);
    story.arena.handler_runs(story.header, story.runs, story.locks);
    return story.judged().findings;
  };
  Handlers stays;
  const auto found = left(stays);
  REQUIRE(found.size() == 1);
  CHECK(found[0].severity == "hazard");
  CHECK(found[0].evidence == "not-released");
  CHECK(found[0].process == 200);
  CHECK_THAT(found[0].explanation,
             Contains("The prepare handler lock_table() of reader took mutex orders.file_lock") &&
                 Contains("no child handler"));

  Handlers execs;
  execs.arena.as(200, 200).exec("/bin/true");
  CHECK(left(execs).empty());

  Handlers told;
  record::Finding finding = Story::orphan();
  finding.kind = Kind::kSelfHeldLock;
  told.arena.as(200, 200).finding(finding);
  const auto both = left(told);
  REQUIRE(both.size() == 1);
  CHECK(both[0].kind == "self-held-lock");
}

TEST_CASE("left locked in the parent: a hazard of the parent", "[judge][handlers]") {
  Handlers story;
  story.locks.push_back(Handlers::taken(kLock, 0, LockEvent::kLeft));
  const auto found = story.found();
  REQUIRE(found.size() == 1);
  CHECK(found[0].process == 100);
  CHECK_THAT(found[0].explanation, Contains("no parent handler"));
}

TEST_CASE("registered late: only after a fork beside threads whose child went on",
          "[judge][handlers]") {
  const auto late = [](bool threads, bool exec, std::uint64_t next_fork) {
    Story story;
    story.namer.function(kPrepareTable, "lock_table");
    story.namer.function(kRegister, "protect");
    record::Fork fork = fork_of(1, 200);
    fork.threads_total = threads ? 2 : 1;
    story.arena.as(200, 200).fork(fork, {thread(101, "main")});
    if (exec) story.arena.exec("/bin/true");
    record::Atfork atfork = Handlers::registration(1, kPrepareTable);
    atfork.next_fork = next_fork;
    story.arena.as(100, kForker).atfork(atfork);
    return story.judged().findings;
  };
  const auto found = late(true, false, 2);
  REQUIRE(found.size() == 1);
  CHECK(found[0].severity == "note");
  CHECK(found[0].evidence == "registered-late");
  CHECK_THAT(found[0].explanation, Contains("lock_table() of reader was not there yet") &&
                                       Contains("not protected in process 200"));
  CHECK(late(false, false, 2).empty());
  CHECK(late(true, true, 2).empty());
  CHECK(late(true, false, 1).empty());  // the fork began later
}

TEST_CASE("registered late by an object that was loaded later: nothing", "[judge][handlers]") {
  Story story;
  record::Fork fork = fork_of(1, 200);
  fork.threads_total = 2;
  story.arena.as(200, 200).fork(fork, {thread(101, "main")});
  story.arena.as(100, kForker).module(0x20000, 0x30000, "/lib/plugin.so");
  record::Atfork atfork = Handlers::registration(1, 0x20100);
  atfork.next_fork = 2;
  story.arena.atfork(atfork);
  CHECK(story.judged().findings.empty());
}

TEST_CASE("registered inside a handler: a note", "[judge][handlers]") {
  Story story;
  record::Atfork atfork = Handlers::registration(1, kPrepareTable);
  atfork.inside_handler = 1;
  story.arena.as(100, kForker).atfork(atfork);
  const Finding f = story.only();
  CHECK(f.evidence == "registered-in-handler");
  CHECK(f.severity == "note");
}

TEST_CASE("a ring of locks inside fork is a deadlock of a process that is no child",
          "[judge][handlers]") {
  Handlers story;
  record::Finding finding = Story::orphan(7);
  finding.kind = Kind::kAtforkHandler;
  finding.evidence = Evidence::kLockCycle;
  finding.in_handler = 1;
  finding.handler = story.table;
  story.arena.as(100, kForker).finding(finding);
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 1);
  const Finding& f = report.findings[0];
  CHECK(f.verdict ==
        "waits for ever inside fork(): its prepare handler takes mutex orders.file_lock, held by "
        "thread 102 (row-reader), which waits for the forking thread");
  CHECK_THAT(f.explanation, Contains("the prepare handler lock_table() of reader") &&
                                Contains("which protect() registered"));
  CHECK(report.summary.forks == 1);  // the one that went well
  CHECK(report.summary.deadlocked == 0);
}

TEST_CASE("a handler that waits for what the forking thread has", "[judge][handlers]") {
  Handlers story;
  record::Finding finding = Story::orphan(7);
  finding.kind = Kind::kAtforkHandler;
  finding.evidence = Evidence::kLockCycle;
  finding.holder_tid = kForker;
  finding.in_handler = 1;
  story.arena.as(100, kForker).finding(finding);
  const auto found = story.judged().findings;
  REQUIRE(found.size() == 1);
  CHECK_THAT(found[0].verdict, Contains("which the forking thread has"));
  CHECK_THAT(found[0].explanation, Contains("registered twice"));
}

TEST_CASE("a lock of a lost thread that a child handler waits for is the handler's matter",
          "[judge][handlers]") {
  const auto kind = [](Kind recorded, Severity severity, bool in_handler) {
    Handlers story;
    record::Finding finding = Story::orphan();
    finding.kind = recorded;
    finding.severity = severity;
    finding.in_handler = in_handler;
    finding.handler = story.index;
    finding.handler_phase = HandlerPhase::kChild;
    story.arena.as(200, 200).finding(finding);
    const auto found = story.judged().findings;
    REQUIRE(found.size() == 1);
    CHECK(found[0].handler.has_value() == in_handler);
    return found[0].kind;
  };
  CHECK(kind(Kind::kOrphanedLock, Severity::kDeadlock, true) == "atfork-handler");
  CHECK(kind(Kind::kSelfHeldLock, Severity::kDeadlock, true) == "atfork-handler");
  CHECK(kind(Kind::kOrphanedLock, Severity::kDeadlock, false) == "orphaned-lock");
  CHECK(kind(Kind::kOrphanedLock, Severity::kHazard, true) == "orphaned-lock");
  CHECK(kind(Kind::kStaleOwner, Severity::kDeadlock, true) == "stale-owner");
  CHECK(kind(Kind::kLostThread, Severity::kDeadlock, true) == "lost-thread");
}

TEST_CASE("the runs of parent and child are put together by registration, whoever wrote first",
          "[judge][handlers]") {
  const bool child_first = GENERATE(false, true);
  CAPTURE(child_first);
  Handlers story;
  story.runs.push_back(Handlers::run(story.index, 1, HandlerPhase::kParent));
  story.locks.push_back(Handlers::taken(kOtherLock, 2, LockEvent::kReleased));
  story.locks.back().type = LockType::kUnknown;
  record::HandlerRuns child = story.header;
  child.last_phase = HandlerPhase::kChild;
  // The child lists the prepare handlers, too, but what they took is left to the parent's record.
  const std::vector<record::HandlerRun> child_runs = {
      Handlers::run(story.table, 2), Handlers::run(story.table, 2, HandlerPhase::kChild)};
  const std::vector<record::HandlerLock> child_locks = {
      Handlers::taken(kLock, 1, LockEvent::kReleased)};
  if (child_first) story.arena.as(200, 200).handler_runs(child, child_runs, child_locks);
  story.arena.as(100, kForker).handler_runs(story.header, story.runs, story.locks);
  if (!child_first) story.arena.as(200, 200).handler_runs(child, child_runs, child_locks);
  const Report report = story.judged();
  CHECK(report.findings.empty());
  REQUIRE(report.forks.size() == 1);
  REQUIRE(report.forks[0].handlers);
  const auto& handlers = *report.forks[0].handlers;
  REQUIRE(handlers.size() == 2);
  CHECK(handlers[0].order == 1);
  CHECK(handlers[0].registered->function == "protect");
  CHECK(handlers[0].prepare->taken.at(0).symbol == "orders.index_lock");
  CHECK(handlers[0].parent->released.at(0).type == "mutex");
  CHECK_FALSE(handlers[0].child);
  CHECK(handlers[1].prepare->taken.size() == 1);  // once, although in both records
  CHECK(handlers[1].child->function->function == "unlock");
  CHECK(handlers[1].child->released.at(0).symbol == "orders.file_lock");
}

TEST_CASE("a fork of which nothing is recorded says nothing about handlers", "[judge][handlers]") {
  Story story;
  story.forked(1, 200, {});
  CHECK_FALSE(story.judged().forks.at(0).handlers);
}

TEST_CASE("a bypass names the handlers it passed by", "[judge][handlers]") {
  Story story;
  story.namer.function(kPrepareTable, "lock_table");
  const std::uint64_t table =
      story.arena.as(100, kForker).atfork(Handlers::registration(1, kPrepareTable));
  record::Fork fork = fork_of(1, 200, record::Api::k_Fork);
  fork.threads_total = 2;
  story.arena.as(200, 200).fork(fork, {thread(101, "main"), thread(102, "other")});
  record::HandlerRun run = Handlers::run(table, 1);
  run.passed_by = 1;
  record::HandlerRuns header{};
  header.fork = 1;
  header.last_phase = HandlerPhase::kChild;
  story.arena.handler_runs(header, {run});
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 1);
  CHECK_THAT(report.findings[0].explanation,
             Contains("Passed by were the handlers of 1 registration: prepare handler "
                      "lock_table() of reader."));
  CHECK(report.forks[0].handlers->at(0).passed_by);
}

TEST_CASE("records of handlers that contradict themselves are skipped", "[judge][handlers]") {
  ArenaBuilder arena;
  record::HandlerRuns header{};
  const auto run = Handlers::run(0, 1);
  auto bad_phase = run;
  bad_phase.phase = HandlerPhase(7);
  auto bad_event = Handlers::taken(kLock, 0);
  bad_event.event = LockEvent(9);
  arena.handler_runs(header, {bad_phase});
  arena.handler_runs(header, {run}, {Handlers::taken(kLock, 1)});  // there is no run 1
  arena.handler_runs(header, {run}, {bad_event});
  arena.handler_runs(header, {run}, {Handlers::taken(kLock, 0)});
  const Session session = arena.session();
  CHECK(session.handler_runs.size() == 1);
  CHECK(session.skipped_bytes > 0);
}

TEST_CASE("a child handler of the lock's module that touched no lock makes a latent one a hazard",
          "[judge][handlers]") {
  Handlers story;
  record::Finding latent = Story::orphan(1, kLock);
  latent.severity = Severity::kLatent;
  latent.evidence = Evidence::kTookBefore;
  story.arena.finding(latent);
  story.locks.clear();
  const auto findings = story.found();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].severity == "hazard");
  CHECK_THAT(findings[0].explanation, Contains("child handler unlock()") &&
                                          Contains("set the lock up anew by an assignment"));
}

TEST_CASE("a child handler that unlocked another lock by a call leaves it latent",
          "[judge][handlers]") {
  Handlers story;
  record::Finding latent = Story::orphan(1, kLock);
  latent.severity = Severity::kLatent;
  latent.evidence = Evidence::kTookBefore;
  story.arena.finding(latent);
  story.header.last_phase = HandlerPhase::kChild;
  story.runs = {Handlers::run(story.index, 1, HandlerPhase::kChild),
                Handlers::run(story.table, 2, HandlerPhase::kChild)};
  story.locks = {Handlers::taken(kOtherLock, 0, LockEvent::kReleased),
                 Handlers::taken(kOtherLock, 1, LockEvent::kReleased)};
  const auto findings = story.found();
  REQUIRE(findings.size() == 1);
  CHECK(findings[0].severity == "latent");
}
