// What became of each child, and which programs went unobserved.
#include <catch2/catch.hpp>

#include "detector/verdict/report.hpp"
#include "tests/unit/support/arena_builder.hpp"
#include "tests/unit/support/fake_symbols.hpp"

using namespace forkscope;
using forkscope::test::ArenaBuilder;
using forkscope::test::FakeNamer;
using forkscope::test::fork_of;

namespace {

constexpr int kSigkill = 9;

Report judged(const ArenaBuilder& arena, const RunFacts& facts = {}) {
  FakeNamer namer;
  return judge(arena.session(), facts, test::always({}), namer);
}

/// The outcome of the only fork.
std::string outcome(const ArenaBuilder& arena, const RunFacts& facts = {}) {
  const Report report = judged(arena, facts);
  REQUIRE(report.forks.size() == 1);
  return report.forks[0].outcome;
}

ArenaBuilder one_fork(record::Api api = record::Api::kFork) {
  ArenaBuilder arena;
  arena.as(100, 101).hello("/usr/bin/app", {"app"});
  arena.as(200, 200).fork(fork_of(1, 200, api));
  return arena;
}

record::Finding deadlock_of(std::uint64_t fork) {
  record::Finding finding{};
  finding.fork = fork;
  finding.lock = 0x1800;
  finding.severity = record::Severity::kDeadlock;
  return finding;
}

}  // namespace

TEST_CASE("a child with no trace of its end is unknown", "[judge][outcomes]") {
  CHECK(outcome(one_fork()) == "unknown");
}

TEST_CASE("a child that is among the living is running", "[judge][outcomes]") {
  RunFacts facts;
  facts.running = {200};
  CHECK(outcome(one_fork(), facts) == "running");
}

TEST_CASE("an exec is exec, also when the process is still alive", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/bin/true");
  RunFacts facts;
  facts.running = {200};
  CHECK(outcome(arena, facts) == "exec");
}

TEST_CASE("what happens after an exec belongs to the new program", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/bin/sleep");
  arena.as(100, 101).child_status(200, kSigkill);
  CHECK(outcome(arena) == "exec");
}

TEST_CASE("libc tells of the shell that it starts only when it runs", "[judge][outcomes]") {
  for (const record::Api api : {record::Api::kSystem, record::Api::kPopen, record::Api::kWordexp}) {
    ArenaBuilder arena;
    arena.as(100, 101).hello("/usr/bin/app", {"app"});
    arena.fork(fork_of(1, 0, api));
    CHECK(outcome(arena) == "exec");
    CHECK(judged(arena).summary.unknown == 0);
  }
}

TEST_CASE("an exec that failed is no exec", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/nowhere");
  arena.exec_failed(2);
  arena.exit(127);
  const Report report = judged(arena);
  CHECK(report.forks.at(0).outcome == "exit");
  CHECK(report.forks.at(0).status == 127);
}

TEST_CASE("a search along PATH ends in an exec", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/usr/local/bin/make");
  arena.exec_failed(2);
  arena.exec("/usr/bin/make");
  CHECK(outcome(arena) == "exec");
}

TEST_CASE("a new image in the child's process proves an exec nobody saw", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.as(200, 200, 2).hello("/bin/true", {"true"});
  CHECK(outcome(arena) == "exec");
}

TEST_CASE("an exit is known from the child or from its parent", "[judge][outcomes]") {
  ArenaBuilder by_child = one_fork();
  by_child.exit(256 + 3);
  CHECK(judged(by_child).forks.at(0).status == 3);
  CHECK(outcome(by_child) == "exit");

  ArenaBuilder by_parent = one_fork();
  by_parent.as(100, 101).child_status(200, 7 << 8);
  CHECK(outcome(by_parent) == "exit");
  CHECK(judged(by_parent).forks.at(0).status == 7);
}

TEST_CASE("a signal ends a child, even inside exit", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.exit(0);
  arena.as(100, 101).child_status(200, kSigkill);
  CHECK(outcome(arena) == "signal");
  CHECK(judged(arena).forks.at(0).status == kSigkill);
}

TEST_CASE("a stopped child has not ended", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  arena.as(100, 101).child_status(200, (19 << 8) | 0x7f);
  CHECK(outcome(arena) == "unknown");
}

TEST_CASE("a deadlock stays one when the child is killed for it", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  const auto id = arena.finding(deadlock_of(1));
  CHECK(outcome(arena) == "deadlock");
  arena.finding_end(id, record::Outcome::kKilled);
  arena.as(100, 101).child_status(200, kSigkill);
  CHECK(outcome(arena) == "deadlock");
  CHECK(judged(arena).summary.deadlocked == 1);
}

TEST_CASE("a deadlock that was let through or came back is none", "[judge][outcomes]") {
  for (record::Outcome end : {record::Outcome::kBroken, record::Outcome::kAcquired}) {
    ArenaBuilder arena = one_fork();
    const auto id = arena.finding(deadlock_of(1));
    arena.finding_end(id, record::Outcome::kBlocked);
    arena.finding_end(id, end);
    arena.exit(0);
    CHECK(outcome(arena) == "exit");
  }
}

TEST_CASE("a call that came back stays so, whatever is recorded later", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  const auto id = arena.finding(deadlock_of(1));
  arena.finding_end(id, record::Outcome::kAcquired);
  arena.finding_end(id, record::Outcome::kBlocked);
  CHECK(outcome(arena) == "unknown");
}

TEST_CASE("a hazard is no deadlock", "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  record::Finding finding = deadlock_of(1);
  finding.severity = record::Severity::kHazard;
  arena.finding(finding);
  CHECK(outcome(arena) == "unknown");
}

TEST_CASE("the deadlock is the grandchild's, not the child's it inherited it from",
          "[judge][outcomes]") {
  ArenaBuilder arena = one_fork();
  record::Fork second = fork_of(2, 300);
  second.parent = 200;
  arena.as(300, 300).fork(second);
  arena.finding(deadlock_of(1));
  arena.as(200, 200).exit(0);
  const Report report = judged(arena);
  CHECK(report.forks.at(0).outcome == "exit");
  CHECK(report.forks.at(1).outcome == "deadlock");
}

TEST_CASE("posix_spawn is exec", "[judge][outcomes]") {
  CHECK(outcome(one_fork(record::Api::kPosixSpawn)) == "exec");
  CHECK(outcome(one_fork(record::Api::kPosixSpawnp)) == "exec");
}

TEST_CASE("a vfork child is linked by the fork's id, whoever writes first", "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.as(250, 250).exec("/bin/true", record::NotObserved::kObserved, 1, 100);
  arena.as(100, 101).fork(fork_of(1, 0, record::Api::kVfork));
  const Report report = judged(arena);
  CHECK(report.forks.at(0).outcome == "exec");
  CHECK(report.forks.at(0).child == 250);

  ArenaBuilder failing;
  failing.as(250, 250).exec("/nowhere", record::NotObserved::kObserved, 1, 100);
  failing.exec_failed(2, 1);
  failing.exit(127, 1);
  failing.as(100, 101).fork(fork_of(1, 0, record::Api::kVfork));
  CHECK(outcome(failing) == "exit");
}

TEST_CASE("a clone that shares memory is recorded by its parent, maybe too late",
          "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.as(250, 250).exec("/bin/true");
  arena.as(100, 101).fork(fork_of(1, 250, record::Api::kClone));
  CHECK(outcome(arena) == "exec");
}

TEST_CASE("an exec with the id of an earlier vfork belongs to its own process",
          "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.as(100, 101).fork(fork_of(1, 0, record::Api::kVfork));
  arena.as(250, 250).exit(1, 1);
  // clone(CLONE_VM) shares the thread's memory, the id of its last vfork included.
  arena.as(260, 260).exec("/bin/true", record::NotObserved::kObserved, 1, 100);
  arena.as(100, 101).fork(fork_of(2, 260, record::Api::kClone));
  const Report report = judged(arena);
  CHECK(report.forks.at(0).outcome == "exit");
  CHECK(report.forks.at(1).outcome == "exec");
}

TEST_CASE("a vfork child that was killed is known by the pid it showed", "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.as(250, 250).exec("/nowhere", record::NotObserved::kObserved, 1, 100);
  arena.exec_failed(2, 1);
  arena.as(100, 101).fork(fork_of(1, 0, record::Api::kVfork));
  arena.child_status(250, kSigkill);
  CHECK(outcome(arena) == "signal");
}

TEST_CASE("a reused pid belongs to the latest fork before the event", "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.as(200, 200).fork(fork_of(1, 200));
  arena.exit(1);
  arena.as(100, 101).child_status(200, 1 << 8);
  arena.as(200, 200).fork(fork_of(2, 200));
  arena.exec("/bin/true");
  arena.as(200, 200).fork(fork_of(3, 200));
  RunFacts facts;
  facts.running = {200};
  const Report report = judged(arena, facts);
  CHECK(report.forks.at(0).outcome == "exit");
  CHECK(report.forks.at(0).status == 1);
  CHECK(report.forks.at(1).outcome == "exec");
  CHECK(report.forks.at(2).outcome == "running");
}

TEST_CASE("the summary counts each fork once", "[judge][outcomes]") {
  ArenaBuilder arena;
  arena.counter(offsetof(record::Counters, forks), 10);
  arena.counter(offsetof(record::Counters, fork_failures), 2);
  arena.as(200, 200).fork(fork_of(1, 200));
  arena.exit(0);
  arena.as(201, 201).fork(fork_of(2, 201));
  arena.exec("/bin/true");
  arena.as(202, 202).fork(fork_of(3, 202));
  arena.as(100, 101).child_status(202, kSigkill);
  // The record of this one's fork was dropped.
  arena.as(203, 203).finding(deadlock_of(4));
  const Summary summary = judged(arena).summary;
  CHECK(summary.forks == 10);
  CHECK(summary.failed == 2);
  CHECK(summary.finished == 1);
  CHECK(summary.execed == 1);
  CHECK(summary.signalled == 1);
  CHECK(summary.deadlocked == 1);
  CHECK(summary.unknown == 0);
  CHECK(summary.unrecorded == 6);
  CHECK(summary.running == 0);
}

TEST_CASE("a program that cannot be preloaded is named once with its count",
          "[judge][unobserved]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/bin/busybox", record::NotObserved::kStatic);
  arena.as(201, 201).fork(fork_of(2, 201));
  arena.exec("/bin/busybox", record::NotObserved::kStatic);
  arena.as(202, 202).fork(fork_of(3, 202));
  arena.exec("/bin/su", record::NotObserved::kSetuid);
  const Report report = judged(arena);
  REQUIRE(report.not_observed.size() == 2);
  CHECK(report.not_observed[0].path == "/bin/busybox");
  CHECK(report.not_observed[0].reason == "is statically linked");
  CHECK(report.not_observed[0].pid == 200);
  CHECK(report.not_observed[0].count == 2);
  CHECK(report.not_observed[1].reason.find("setuid") != std::string::npos);
}

TEST_CASE("an exec that failed names no program", "[judge][unobserved]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/bin/busybox", record::NotObserved::kStatic);
  arena.exec_failed(13);
  CHECK(judged(arena).not_observed.empty());
}

TEST_CASE("a program that ran to its end without a hello did not load the library",
          "[judge][unobserved]") {
  ArenaBuilder arena = one_fork();
  arena.exec("/usr/bin/odd");
  CHECK(judged(arena).not_observed.empty());  // it may not have come that far
  ArenaBuilder ended = arena;
  ended.as(100, 101).child_status(200, 0);
  REQUIRE(judged(ended).not_observed.size() == 1);
  CHECK(judged(ended).not_observed[0].path == "/usr/bin/odd");

  SECTION("but not when it greeted") {
    arena.as(200, 200, 2).hello("/usr/bin/odd", {"odd"});
    arena.as(100, 101).child_status(200, 0);
    CHECK(judged(arena).not_observed.empty());
  }
  SECTION("nor when the loader failed") {
    arena.as(100, 101).child_status(200, 127 << 8);
    CHECK(judged(arena).not_observed.empty());
  }
  SECTION("nor when it was killed early") {
    arena.as(100, 101).child_status(200, kSigkill);
    CHECK(judged(arena).not_observed.empty());
  }
  SECTION("nor when records were lost") {
    ended.counter(offsetof(record::Counters, dropped_records), 1);
    CHECK(judged(ended).not_observed.empty());
  }
}
