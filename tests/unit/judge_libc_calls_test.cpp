// Calls of libc in children that lost threads: notes, hazards, and what a watchdog saw of them.
#include "detector/record/unsafe_calls.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::Evidence;
using record::Kind;
using record::Severity;
using record::UnsafeCall;

namespace {

constexpr std::uint64_t kLater = std::uint64_t{1} << 62;  ///< after every record

record::Finding call_of(UnsafeCall call, std::uint64_t fork = 1) {
  record::Finding finding{};
  finding.fork = fork;
  finding.kind = Kind::kUnsafeCall;
  finding.severity = Severity::kNote;
  finding.call = record::Call::kLibcCall;
  finding.evidence = Evidence::kForkedChild;
  finding.lock_words[0] = std::uint32_t(call);
  finding.waiter_frames = 2;
  finding.waiter[0] = kReadAll;
  finding.waiter[1] = kMain;
  return finding;
}

record::Finding warning(UnsafeCall call, UnsafeCall inside) {
  record::Finding finding = call_of(call);
  finding.kind = Kind::kLibcLock;
  finding.severity = Severity::kHazard;
  finding.evidence = Evidence::kInsideCall;
  finding.lock_words[1] = std::uint32_t(inside);
  finding.holder_tid = 102;
  finding.holder_start = kReaderLoop;
  finding.holder_caller = kReadRowGroup;
  std::memcpy(finding.holder_name, "row-reader", 11);
  return finding;
}

/// Process 200 hangs in a lock inside libc.
WatchedFinding hang() {
  WatchedFinding watched;
  Finding& finding = watched.finding;
  finding.kind = "libc-lock";
  finding.severity = "deadlock";
  finding.evidence = "nobody-left";
  finding.process = 200;
  finding.verdict = "waits for ever";
  finding.explanation = "Nobody is left.";
  finding.lock = {0x5800, "lock inside libc", "tzset_lock", "/lib/libc.so.6", 0x800};
  finding.waiter.tid = 200;
  finding.waiter.stack = {Frame{0x5100, "/lib/libc.so.6", 0x100, "__tz_convert", "", 0, false}};
  finding.outcome = "blocked";
  finding.records = {kWatchedRecord};
  watched.time = kLater;
  return watched;
}

RunFacts seen(const WatchedFinding& watched) {
  RunFacts facts;
  facts.watched = {watched};
  return facts;
}

}  // namespace

TEST_CASE("a call of libc in a forked child is a note with function, family, lock and cure",
          "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(call_of(UnsafeCall::localtime_r), {thread(102, "row-reader")});
  const Finding f = story.only();
  CHECK(f.kind == "unsafe-call");
  CHECK(f.severity == "note");
  CHECK(f.evidence == "forked-child");
  CHECK(f.verdict == "calls localtime_r() in the child of a fork that left threads behind");
  REQUIRE(f.libc);
  CHECK(f.libc->function == "localtime_r");
  CHECK(f.libc->family == "local time");
  CHECK(f.libc->lock == "tzset_lock");
  CHECK(f.libc->at_fork == "kept");
  CHECK(f.libc->holder_function.empty());
  CHECK(f.waiter.call == "localtime_r");
  CHECK_THAT(f.explanation, Contains("1 other thread") && Contains("async-signal-safe") &&
                                Contains("glibc does not set free in the child"));
  CHECK_THAT(f.cure, Contains("Convert the time before the fork") && Contains("posix_spawn()"));
  CHECK(f.lock.type.empty());
}

TEST_CASE("of a lock that glibc resets the note says so", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(call_of(UnsafeCall::malloc));
  const Finding f = story.only();
  CHECK(f.libc->at_fork == "reset");
  CHECK_THAT(f.explanation, Contains("glibc sets free in the child of fork()"));
}

TEST_CASE("the note on a replaced allocator says whose it is, and nothing of glibc's locks",
          "[judge][libc-calls]") {
  constexpr std::uint64_t kAllocator = 0x9000;
  Story story;
  story.arena.module(kAllocator, kAllocator + 0x1000, "/usr/lib/libjemalloc.so.2");
  story.forked(1, 200, {});
  record::Finding call = call_of(UnsafeCall::malloc);
  call.range_begin = kAllocator + 0x100;
  story.arena.finding(call);
  const Finding f = story.only();
  CHECK(f.libc->at_fork == "unknown");
  CHECK(f.libc->lock == "locks of libjemalloc.so.2");
  CHECK_FALSE(f.range);
  CHECK_THAT(f.explanation, Contains("that of libjemalloc.so.2 here, not glibc's") &&
                                Contains("No at-fork handler of that was seen") &&
                                !Contains("sets free"));
  record::Atfork handlers{};
  handlers.function[0] = kAllocator + 0x200;
  story.arena.as(100, 101).atfork(handlers);
  CHECK_THAT(story.only().explanation, Contains("has registered at-fork handlers"));
}

TEST_CASE("a call that goes to libc's own malloc is libc's", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding call = call_of(UnsafeCall::malloc);
  call.range_begin = 0x5100;
  story.arena.finding(call);
  const Finding f = story.only();
  CHECK(f.libc->at_fork == "reset");
  CHECK_THAT(f.explanation, Contains("glibc sets free in the child of fork()"));
}

TEST_CASE("in a Python program the cure is Python's", "[judge][libc-calls]") {
  Story story("/usr/bin/python3");
  story.forked(1, 200, {});
  story.arena.finding(call_of(UnsafeCall::malloc));
  CHECK_THAT(story.only().cure, Contains("multiprocessing"));
}

TEST_CASE("the children that came by a call site are the note's count", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(call_of(UnsafeCall::localtime_r));
  Session session = story.arena.session();
  REQUIRE(session.findings.size() == 1);
  session.unsafe_sites = {{session.findings.front().finding.id, 4000}};
  const Report report = judge(session, {}, story.unwind, story.namer);
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().count == 4000);
}

TEST_CASE("two functions called at one place are two notes", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(call_of(UnsafeCall::localtime_r));
  story.arena.finding(call_of(UnsafeCall::setenv));
  CHECK(story.judged().findings.size() == 2);
}

TEST_CASE("another thread inside the same lock's functions makes it a hazard that names it",
          "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  const Finding f = story.only();
  CHECK(f.kind == "libc-lock");
  CHECK(f.severity == "hazard");
  CHECK(f.evidence == "inside-call");
  CHECK(f.libc->holder_function == "mktime");
  CHECK(f.holder.tid == 102);
  CHECK(functions(f.holder.acquired).back() == "read_row_group");
  CHECK_THAT(f.verdict,
             Contains("localtime_r()") && Contains("row-reader") && Contains("mktime()"));
  CHECK(f.outcome.empty());
}

TEST_CASE("a call that came back stays a hazard, and says that it did", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  const std::uint64_t id =
      story.arena.finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  story.arena.finding_end(id, record::Outcome::kAcquired);
  const Finding f = story.only();
  CHECK(f.severity == "hazard");
  CHECK(f.outcome == "came back");
  CHECK_THAT(f.explanation, Contains("This call came back"));
}

TEST_CASE("the hazard whose call is then seen to hang is one deadlock with all of both",
          "[judge][libc-calls][watched]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.as(200, 200).finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  const Report report = story.judged(seen(hang()));
  REQUIRE(report.findings.size() == 1);
  const Finding& f = report.findings.front();
  CHECK(f.severity == "deadlock");
  CHECK(f.evidence == "nobody-left");
  CHECK(f.lock.symbol == "tzset_lock");
  CHECK(f.libc->function == "localtime_r");
  CHECK(f.libc->holder_function == "mktime");
  CHECK(f.holder.tid == 102);
  CHECK(f.holder.name == "row-reader");
  CHECK(functions(f.holder.acquired).back() == "read_row_group");
  CHECK(functions(f.waiter.stack) == Names{"__tz_convert", "read_all", "main"});
  CHECK(f.waiter.call == "localtime_r");
  CHECK(functions(f.fork_stack) == Names{"worker", "main"});
  CHECK_THAT(f.verdict, Contains("waits for ever in localtime_r()") && Contains("mktime()"));
  CHECK_THAT(f.explanation, Contains("row-reader") && Contains("Nobody is left."));
  CHECK_THAT(f.cure, Contains("Convert the time before the fork"));
}

TEST_CASE("children that came out of the call in which one hangs are not told beside it",
          "[judge][libc-calls][watched]") {
  Story story;
  story.forked(1, 200, {});
  story.forked(2, 201, {});
  story.arena.as(200, 200).finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  const auto another = [&](UnsafeCall call) {
    const std::uint64_t id = story.arena.as(201, 201).finding(warning(call, UnsafeCall::mktime));
    story.arena.finding_end(id, record::Outcome::kAcquired);
  };
  another(UnsafeCall::localtime_r);
  story.arena.as(201, 201).finding(call_of(UnsafeCall::localtime_r, 2));
  CHECK(story.judged(seen(hang())).findings.size() == 1);
  another(UnsafeCall::ctime_r);  // another function
  CHECK(story.judged(seen(hang())).findings.size() == 2);
}

TEST_CASE("where the lock names another owner than the thread that was inside, the owner is told",
          "[judge][libc-calls][watched]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.as(200, 200).finding(warning(UnsafeCall::setlocale, UnsafeCall::setlocale));
  WatchedFinding watched = hang();
  watched.finding.evidence = "owner-word";
  watched.finding.holder.tid = 103;
  const Report report = story.judged(seen(watched));
  REQUIRE(report.findings.size() == 1);
  const Finding& f = report.findings.front();
  CHECK(f.holder.tid == 103);
  CHECK(f.holder.acquired.empty());
  CHECK(f.libc->holder_function.empty());
  CHECK_THAT(f.verdict, Contains("thread 103") && !Contains("row-reader"));
}

TEST_CASE("several threads inside the same lock's functions are said to be several",
          "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding finding = warning(UnsafeCall::localtime_r, UnsafeCall::mktime);
  finding.lock_words[2] = 2;
  story.arena.finding(finding);
  CHECK_THAT(story.only().explanation, Contains("So were 2 others"));
}

TEST_CASE("a hang in another call than the one that was warned of stays beside the warning",
          "[judge][libc-calls][watched]") {
  Story story;
  story.forked(1, 200, {});
  const std::uint64_t id =
      story.arena.as(200, 200).finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  story.arena.finding_end(id, record::Outcome::kAcquired);
  CHECK(story.judged(seen(hang())).findings.size() == 2);
  Story other;
  other.forked(1, 200, {});
  other.arena.as(200, 201).finding(warning(UnsafeCall::localtime_r, UnsafeCall::mktime));
  CHECK(other.judged(seen(hang())).findings.size() == 2);  // another thread's call
}

TEST_CASE("a record with a function that is none is still a finding", "[judge][libc-calls]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding finding = call_of(UnsafeCall::none);
  finding.lock_words[0] = 0xffffffff;
  story.arena.finding(finding);
  CHECK_FALSE(story.only().libc);
}
