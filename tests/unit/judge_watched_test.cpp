// Findings made from outside, beside and together with the library's own.
#include <catch2/catch.hpp>

#include "detector/verdict/report.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

constexpr std::uint64_t kLater = std::uint64_t{1} << 62;  ///< after every record

/// Process `pid` hangs at `lock`, which thread 102 of its parent holds.
WatchedFinding hang(std::int32_t pid = 200, std::uint64_t lock = kLock, std::uint64_t number = 0) {
  WatchedFinding watched;
  Finding& finding = watched.finding;
  finding.kind = "orphaned-lock";
  finding.severity = "deadlock";
  finding.evidence = "owner-word";
  finding.process = pid;
  finding.verdict = "waits for ever";
  finding.lock.address = lock;
  finding.holder.tid = 102;
  finding.holder.now = {Frame{kReaderLoop, "/usr/bin/reader", 0x50, "reader_loop", "", 0, false}};
  finding.holder.python = {{"Reader.read", "reader.py", 7}};
  finding.waiter.tid = pid;
  finding.waiter.stack = {Frame{kReadAll, "/usr/bin/reader", 0x20, "read_all", "", 0, false}};
  finding.waiter.python = {{"read", "main.py", 3}};
  finding.outcome = "blocked";
  finding.records = {kWatchedRecord | number};
  watched.time = kLater;
  return watched;
}

RunFacts facts_of(std::vector<WatchedFinding> watched) {
  RunFacts facts;
  facts.watched = std::move(watched);
  return facts;
}

WatchedFinding probable(WatchedFinding watched) {
  watched.finding.severity = "hazard";
  watched.finding.certainty = "probable";
  return watched;
}

}  // namespace

TEST_CASE("a hang seen from outside is a finding of its fork, and the child's outcome",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  const Report report = story.judged(facts_of({hang()}));
  REQUIRE(report.findings.size() == 1);
  const Finding& finding = report.findings.front();
  CHECK(finding.fork == 1);
  CHECK(functions(finding.fork_stack) == Names{"worker", "main"});
  CHECK(finding.lost.size() == 1);  // whom the library saw, as nobody else told
  CHECK(finding.records == std::vector{kWatchedRecord});
  CHECK(report.forks.front().outcome == "deadlock");
  CHECK(report.summary.deadlocked == 1);
}

TEST_CASE("what the library found as well is one finding with the evidence of both",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200);
  story.arena.finding(Story::orphan());
  const Report report = story.judged(facts_of({hang()}));
  REQUIRE(report.findings.size() == 1);
  const Finding& finding = report.findings.front();
  CHECK(finding.lock.symbol == "orders.file_lock");              // the library's
  CHECK(functions(finding.holder.now) == Names{"reader_loop"});  // the command's
  REQUIRE(finding.waiter.python.size() == 1);
  CHECK(finding.waiter.python.front().function == "read");
  CHECK(finding.holder.python.front().line == 7);
  CHECK(finding.records.size() == 1);
  CHECK((finding.records.front() & kWatchedRecord) == 0);
  CHECK(report.summary.deadlocked == 1);
}

TEST_CASE("the view of another thread than the library's holder is not its holder's",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200);
  story.arena.finding(Story::orphan());
  WatchedFinding other = hang();
  other.finding.holder.tid = 103;
  const Report report = story.judged(facts_of({other}));
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().holder.now.empty());
}

TEST_CASE("a hang at a lock the library only warned of takes the warning's place",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {Story::held(), Story::held(kOtherLock)});
  REQUIRE(story.judged().findings.size() == 2);  // two untouched locks
  const Report report = story.judged(facts_of({hang()}));
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].severity == "deadlock");
  CHECK(report.findings[0].lock.address == kLock);
  CHECK(functions(report.findings[0].holder.acquired).back() == "read_row_group");
  CHECK(report.findings[0].holder.name == "row-reader");
  CHECK(report.findings[1].severity == "hazard");
  CHECK(report.findings[1].lock.address == kOtherLock);
}

TEST_CASE("a probable hang is one finding with the warning about its lock, and no outcome",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {Story::held(), Story::held(kOtherLock)});
  const Report report = story.judged(facts_of({probable(hang())}));
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].lock.address == kOtherLock);  // nothing is known of that one
  CHECK(report.findings[1].certainty == "probable");
  CHECK(functions(report.findings[1].holder.acquired).back() == "read_row_group");
  CHECK(report.forks.front().outcome != "deadlock");
  CHECK(report.summary.deadlocked == 0);
}

namespace {

/// A wait that the library could not judge: thread 102 waited for the semaphore last.
record::Finding warning(std::uint64_t lock = kLock) {
  record::Finding finding = Story::orphan(1, lock);
  finding.severity = record::Severity::kHazard;
  finding.evidence = record::Evidence::kWaitedLast;
  finding.lock_type = record::LockType::kSemaphore;
  finding.call = record::Call::kSemWait;
  return finding;
}

/// What the watchdog sees of it: no owner, and nobody who knew.
WatchedFinding unexplained(std::uint64_t lock = kLock) {
  WatchedFinding watched = probable(hang(200, lock));
  watched.finding.kind = "lost-thread";
  watched.finding.evidence = "nobody-left";
  watched.finding.holder = {};
  watched.finding.explanation = "It sleeps. Nothing shows that one of them knew.";
  watched.finding.linked_explanation = "It sleeps.";
  return watched;
}

}  // namespace

TEST_CASE("what the library knows of a wait and what is seen of it are joined before it is told",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  const bool at_its_word = GENERATE(true, false);
  // The awaited word may be another one than the object's: then the call on the stack tells.
  story.arena.finding(warning(at_its_word ? kLock : kHeapLock));
  const Report report = story.judged(facts_of({unexplained()}));
  REQUIRE(report.findings.size() == 1);
  const Finding& finding = report.findings.front();
  CHECK(finding.kind == "orphaned-lock");
  CHECK(finding.evidence == "waited-last");
  CHECK(finding.certainty == "probable");
  CHECK(finding.holder.tid == 102);
  CHECK(finding.explanation.find("Nothing shows") == std::string::npos);
}

TEST_CASE("warnings about other waits, or waits that ended, are not joined", "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding other = warning(kOtherLock);
  bool same_thread = true;
  SECTION("another call of the same thread") { other.waiter[1] = kReaderLoop; }
  SECTION("another thread") {
    same_thread = false;
    other.lock = kHeapLock;
  }
  SECTION("it came back") {}
  if (!same_thread) story.arena.as(200, 205);
  const std::uint64_t id = story.arena.finding(other);
  if (other.waiter[1] == kReadAll && same_thread)
    story.arena.finding_end(id, record::Outcome::kAcquired);
  const Report report = story.judged(facts_of({unexplained()}));
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[1].kind == "lost-thread");
  CHECK(report.findings[1].explanation.find("Nothing shows") != std::string::npos);
}

TEST_CASE("what a thread records inside the call it hangs in is part of that hang",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding before = warning(kOtherLock);
  story.arena.finding(before);
  story.arena.finding(Story::orphan());
  record::Finding word = warning();
  word.lock_type = record::LockType::kFutex;
  story.arena.finding(word);
  story.arena.as(200, 205).finding(warning(kHeapLock));
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 3);
  CHECK(report.findings[0].severity == "deadlock");
  CHECK(report.findings[1].lock.address == kOtherLock);  // it was there before
  CHECK(report.findings[2].waiter.tid == 205);           // another thread's
}

TEST_CASE("what a thread records after a lock was taken away for it is its own",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding_end(story.arena.finding(Story::orphan()), record::Outcome::kBroken);
  story.arena.finding(warning(kOtherLock));
  CHECK(story.judged().findings.size() == 2);
}

TEST_CASE("the look at a process as it wrote a finding gives the Python frames of both",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200);
  FirstLook look;
  look.record = story.arena.finding(Story::orphan());
  look.waiter = {{"read", "/srv/main.py", 3},
                 {"_launch", "/usr/lib/python3.11/multiprocessing/popen_fork.py", 71, true},
                 {"<module>", "/srv/main.py", 9}};
  look.holder = {{"Reader.read", "/srv/reader.py", 7}};
  look.holder_stack.addresses = {kReaderLoop};
  look.modules = story.arena.session().modules;
  FirstLook other;
  other.record = look.record + 64;
  other.waiter = {{"elsewhere", "/srv/main.py", 1}};
  RunFacts facts;
  facts.looks = {other, look};
  const Report report = story.judged(facts);
  REQUIRE(report.findings.size() == 1);
  const Finding& finding = report.findings.front();
  CHECK(finding.waiter.python.front().function == "read");
  CHECK(finding.holder.python.front().function == "Reader.read");
  CHECK(functions(finding.holder.now) == Names{"reader_loop"});
  REQUIRE(finding.fork_python.size() == 2);
  CHECK(finding.fork_python.front().function == "_launch");
  CHECK(finding.fork_python.front().line == 0);  // it has gone on since
}

TEST_CASE("who took a semaphore last stays known when the hang was seen from outside first",
          "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding warning = Story::orphan();
  warning.severity = record::Severity::kHazard;
  warning.evidence = record::Evidence::kWaitedLast;
  warning.lock_type = record::LockType::kSemaphore;
  warning.call = record::Call::kSemWait;
  story.arena.finding(warning);
  WatchedFinding seen = hang();
  seen.finding.kind = "lost-thread";
  seen.finding.evidence = "nobody-left";
  seen.finding.holder = {};
  const Report report = story.judged(facts_of({seen}));
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().severity == "deadlock");
  CHECK(report.findings.front().kind == "orphaned-lock");
  CHECK(report.findings.front().evidence == "waited-last");
  CHECK(report.findings.front().holder.tid == 102);
}

TEST_CASE("who came back was in no deadlock", "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  WatchedFinding back = hang();
  back.finding.outcome = "came back";
  const Report report = story.judged(facts_of({back}));
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().severity == "hazard");
  CHECK(report.forks.front().outcome != "deadlock");
}

TEST_CASE("children that hang alike are one finding with their number", "[judge][watched]") {
  Story story;
  story.forked(1, 200, {});
  story.forked(2, 201, {});
  story.forked(3, 202, {});
  WatchedFinding other = hang(202, kOtherLock, 2);
  other.finding.lock.symbol = "orders.index_lock";
  const Report report = story.judged(facts_of({hang(200), hang(201, kLock, 1), other}));
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].count == 2);
  CHECK(report.findings[0].records.size() == 2);
  CHECK(report.findings[1].count == 1);
  CHECK(report.summary.deadlocked == 3);
}

TEST_CASE("a hang in a child whose fork was only counted is counted as its outcome",
          "[judge][watched]") {
  Story story;
  const Report report = story.judged(facts_of({hang(300)}));
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings.front().fork == 0);
  CHECK(report.summary.deadlocked == 1);
}
