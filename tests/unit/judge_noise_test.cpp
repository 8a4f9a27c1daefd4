// What a report leaves out or mentions only: equal, suppressed and declared findings; given names.
#include <catch2/catch.hpp>

#include "detector/verdict/suppressions.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using Catch::Contains;
using namespace forkscope::test;

namespace {

Report judged(Story& story, const std::string& rules) {
  return judge(story.arena.session(), {}, story.unwind, story.namer,
               parse_suppressions(rules, "r.supp"));
}

/// Children 200 and 201, both hang at the lock.
Story two_hang() {
  Story story;
  for (std::uint64_t fork : {1, 2}) {
    story.forked(fork, std::int32_t(199 + fork));
    story.arena.finding(Story::orphan(fork));
  }
  return story;
}

}  // namespace

TEST_CASE("findings have fingerprints, equal ones are one", "[judge][noise]") {
  Story story = two_hang();
  const Finding finding = story.only();
  CHECK(finding.count == 2);
  CHECK(finding.fingerprint.starts_with("v1-"));
  Story other("/usr/local/bin/reader");
  other.forked(7, 400);
  other.arena.finding(Story::orphan(7));
  CHECK(other.only().fingerprint == finding.fingerprint);
}

TEST_CASE("two objects of one class are one finding: they have the same sites", "[judge][noise]") {
  Story story;
  for (std::uint64_t fork : {1, 2}) {
    story.forked(fork, std::int32_t(199 + fork), {});
    story.arena.finding(Story::orphan(fork, kHeapLock + fork * 0x100));
  }
  CHECK(story.only().count == 2);
}

TEST_CASE("suppressed findings are in no list or count but their own", "[judge][noise]") {
  Story story = two_hang();
  const Report report = judged(story, "lost-thread:*\norphaned-lock:orders.*\n");
  CHECK(report.findings.empty());
  CHECK(report.summary.hazards == 0);
  REQUIRE(report.suppressed.size() == 1);
  CHECK(report.suppressed[0].count == 2);
  CHECK(report.summary.suppressed == 1);
  REQUIRE(report.suppressions.size() == 2);
  CHECK(report.suppressions[0].hits == 0);
  CHECK(report.suppressions[1].hits == 2);
  // What became of the children is still true.
  CHECK(report.summary.deadlocked == 2);
}

TEST_CASE("of equal findings a rule takes only those whose own stacks it matches",
          "[judge][noise]") {
  Story story;
  story.namer.function(0x1090, "known_command");
  for (std::uint64_t fork : {1, 2}) {
    story.forked(fork, std::int32_t(199 + fork), {});
    record::Finding finding = Story::orphan(fork);
    finding.waiter[2] = fork == 1 ? 0x1090 : kMain;
    finding.waiter_frames = 3;
    story.arena.finding(finding);
  }
  const Report report = judged(story, "*:known_command\n");
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].count == 1);
  CHECK(report.findings[0].process == 201);
  REQUIRE(report.suppressed.size() == 1);
  CHECK(report.suppressed[0].process == 200);
}

TEST_CASE("hazards of two forks are told apart before a rule looks at one fork's stack",
          "[judge][noise]") {
  Story story;
  story.forked(1, 200);
  record::Fork elsewhere = fork_of(2, 201);
  elsewhere.frames = 1;
  elsewhere.stack[0] = kReadAll;
  story.arena.as(201, 201).fork(elsewhere, {thread(101, "main"), thread(102, "row-reader")},
                                {Story::held()});
  const Report report = judged(story, "*:worker\n");
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].process == 201);
  CHECK(report.suppressed.size() == 1);
  CHECK(judged(story, "*:read_all\n*:worker\n").findings.empty());
}

TEST_CASE("warnings about a fork that is declared safe are notes with the reason",
          "[judge][noise]") {
  Story story;
  story.forked(1, 200);
  story.arena.fork_declared(1, "it only writes");
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].severity == "note");
  CHECK(report.findings[0].declared_safe == "it only writes");
  CHECK(report.forks[0].declared_safe == "it only writes");
  CHECK(report.summary.notes == 1);
  CHECK(report.summary.hazards == 0);
  CHECK(report.summary.declared_safe == 1);
}

TEST_CASE("a deadlock stays one, whatever was declared", "[judge][noise]") {
  Story story;
  story.forked(1, 200);
  story.arena.fork_declared(1, "it only writes");
  story.arena.finding(Story::orphan());
  const Finding finding = story.only();
  CHECK(finding.severity == "deadlock");
  CHECK(finding.declared_safe == "it only writes");
}

TEST_CASE("a declaration is about its own fork", "[judge][noise]") {
  Story story;
  story.forked(1, 200);
  story.forked(2, 201);
  story.arena.fork_declared(2, "it only writes");
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].severity == "hazard");
  CHECK(report.findings[0].count == 1);
  CHECK(report.findings[1].severity == "note");
  CHECK(report.forks[0].declared_safe.empty());
}

TEST_CASE("a lock has the name its program gave it, by the process and the time",
          "[judge][noise]") {
  Story story;
  story.arena.as(200, 200).lock_name(kHeapLock, "old");
  story.arena.as(200, 200).lock_name(kHeapLock, "connection");
  story.arena.as(300, 300).lock_name(kHeapLock, "another process's");
  story.forked(1, 200, {});
  story.arena.as(200, 200).finding(Story::orphan(1, kHeapLock));
  story.arena.as(200, 200).lock_name(kHeapLock, "later");
  const Finding finding = story.only();
  CHECK(finding.lock.name == "connection");
  CHECK_THAT(finding.verdict, Contains("waits for ever for mutex \"connection\""));
}

TEST_CASE("records of names and declarations that do not fit are passed over", "[session][noise]") {
  ArenaBuilder arena;
  const record::LockName name{kHeapLock, 1000, 0};
  arena.add(record::Type::kLockName, {std::as_bytes(std::span(&name, 1))});
  const record::ForkDeclared declared{1, 1000, 0};
  arena.add(record::Type::kForkDeclared, {std::as_bytes(std::span(&declared, 1))});
  arena.lock_name(kHeapLock, "whole");
  const Session session = arena.session();
  REQUIRE(session.lock_names.size() == 1);
  CHECK(session.lock_names[0].name == "whole");
  CHECK(session.declared_forks.empty());
  CHECK(session.skipped_bytes > 0);
}
