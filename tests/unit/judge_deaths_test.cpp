// Children that died of it: what makes a hazard a death, and what does not.
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::Call;
using record::Evidence;
using record::Kind;
using record::LockType;
using record::Severity;

namespace {

constexpr int kSigabrt = 6, kSigkill = 9, kSigsegv = 11, kSigterm = 15;

record::Finding join() {
  record::Finding finding = Story::orphan();
  finding.kind = Kind::kLostThread;
  finding.severity = Severity::kHazard;
  finding.lock_type = LockType::kThread;
  finding.call = Call::kJoin;
  finding.evidence = Evidence::kThreadGone;
  return finding;
}

record::Finding loading() {
  record::Finding finding = Story::orphan();
  finding.kind = Kind::kLibcLock;
  finding.severity = Severity::kHazard;
  finding.lock_type = LockType::kLoader;
  finding.call = Call::kDlopen;
  finding.evidence = Evidence::kLoaderState;
  return finding;
}

record::Finding pi_lock() {
  record::Finding finding = Story::orphan();
  finding.lock_flags = record::kLockPi;
  return finding;
}

/// Child 200 of fork 1 met this; what it and its parent recorded then follows.
struct Child {
  Story story;
  std::uint64_t id;

  explicit Child(const record::Finding& finding) {
    story.forked(1, 200, {});
    id = story.arena.finding(finding);
  }
  /// As wait(2) gives it to the parent.
  Report collected(int status) {
    story.arena.as(100, 101).child_status(200, status);
    return story.judged();
  }
};

}  // namespace

TEST_CASE("a join that crashes is a death", "[judge][deaths]") {
  Child child(join());
  const Report report = child.collected(kSigsegv);
  const Finding& f = report.findings.at(0);
  CHECK(f.severity == "deadlock");
  CHECK(f.died);
  CHECK(f.outcome == "died: SIGSEGV");
  CHECK(f.verdict ==
        "was ended by SIGSEGV in pthread_join() of thread 102 (row-reader), which fork did not "
        "copy");
  CHECK_THAT(f.explanation, Contains("vanished thread's stack"));
  CHECK(report.forks.at(0).outcome == "signal");
  CHECK(report.forks.at(0).status == kSigsegv);
  CHECK(report.summary.died == 1);
  CHECK(report.summary.deadlocked == 0);
  CHECK(report.summary.signalled == 1);
  CHECK(report.summary.hazards == 0);
}

TEST_CASE("a join that came back is not what killed the child later", "[judge][deaths]") {
  Child child(join());
  child.story.arena.finding_end(child.id, record::Outcome::kAcquired);
  const Finding f = child.collected(kSigsegv).findings.at(0);
  CHECK(f.severity == "hazard");
  CHECK_FALSE(f.died);
  CHECK(f.outcome == "came back");
}

TEST_CASE("a child that others end did not die of it", "[judge][deaths]") {
  for (int signal : {kSigkill, kSigterm}) {
    for (const record::Finding& finding : {join(), loading()}) {
      Child child(finding);
      const Finding f = child.collected(signal).findings.at(0);
      CHECK(f.severity == "hazard");
      CHECK(f.outcome.empty());
    }
  }
}

TEST_CASE("a child whose end nobody saw is not said to be dead", "[judge][deaths]") {
  for (const record::Finding& finding : {join(), loading()}) {
    CHECK(Child(finding).story.only().severity == "hazard");
  }
}

TEST_CASE("the loader ends the process with 127", "[judge][deaths]") {
  Child child(loading());
  const Report report = child.collected(127 << 8);
  const Finding& f = report.findings.at(0);
  CHECK(f.kind == "libc-lock");
  CHECK(f.severity == "deadlock");
  CHECK(f.outcome == "died: exit status 127");
  CHECK_THAT(f.verdict, Contains("was ended by the loader with status 127 in dlopen()"));
  CHECK_THAT(f.explanation, Contains("the list of objects stays half changed") &&
                                Contains("dlopen() of process 200 met that state"));
  CHECK_THAT(f.cure, Contains("Load what the child needs before threads are started"));
  CHECK(report.forks.at(0).outcome == "exit");
  CHECK(report.forks.at(0).status == 127);
}

TEST_CASE("a child that says exit(127) itself was not ended by the loader", "[judge][deaths]") {
  Child child(loading());
  child.story.arena.exit(127);
  const Finding f = child.collected(127 << 8).findings.at(0);
  CHECK(f.severity == "hazard");
  CHECK_THAT(f.verdict, Contains("calls dlopen(), but fork copied the loader in the middle"));
}

TEST_CASE("another exit status is no loader's", "[judge][deaths]") {
  Child child(loading());
  CHECK(child.collected(1 << 8).findings.at(0).severity == "hazard");
}

TEST_CASE("a join is no loader either", "[judge][deaths]") {
  Child child(join());
  CHECK(child.collected(127 << 8).findings.at(0).severity == "hazard");
}

TEST_CASE("a dlopen that crashes in a half-changed loader is a death", "[judge][deaths]") {
  Child child(loading());
  const Finding f = child.collected(kSigsegv).findings.at(0);
  CHECK(f.severity == "deadlock");
  CHECK(f.outcome == "died: SIGSEGV");
}

TEST_CASE("a dlopen that came back excuses the loader", "[judge][deaths]") {
  Child child(loading());
  child.story.arena.finding_end(child.id, record::Outcome::kAcquired);
  CHECK(child.collected(127 << 8).findings.at(0).severity == "hazard");
}

TEST_CASE("glibc's abort for a priority-inheritance mutex is the child's end", "[judge][deaths]") {
  Child child(pi_lock());
  child.story.arena.finding_end(child.id, record::Outcome::kBlocked);
  const Report report = child.collected(kSigabrt);
  CHECK(report.findings.at(0).died);
  CHECK(report.findings.at(0).outcome == "died: SIGABRT");
  CHECK_THAT(report.findings.at(0).verdict,
             Contains("was aborted by glibc taking priority-inheritance mutex"));
  CHECK(report.forks.at(0).outcome == "signal");
  CHECK(report.summary.deadlocked == 0);
}

TEST_CASE("an abort that was asked for is no death of its own", "[judge][deaths]") {
  Child child(pi_lock());
  child.story.arena.finding_end(child.id, record::Outcome::kAborted);
  const Report report = child.collected(kSigabrt);
  CHECK_FALSE(report.findings.at(0).died);
  CHECK(report.findings.at(0).outcome == "aborted");
  CHECK(report.forks.at(0).outcome == "deadlock");
}

TEST_CASE("a hanging child that crashes otherwise stays a deadlock", "[judge][deaths]") {
  Child child(Story::orphan());
  const Report report = child.collected(kSigsegv);
  CHECK(report.findings.at(0).severity == "deadlock");
  CHECK_FALSE(report.findings.at(0).died);
  CHECK(report.forks.at(0).outcome == "deadlock");
}

TEST_CASE("a reused pid does not pass its death on", "[judge][deaths]") {
  Child child(join());
  child.story.arena.as(100, 101).child_status(200, 0);  // it ended well ...
  child.story.forked(2, 200, {});                       // ... and its pid is used again
  const Report report = child.collected(kSigsegv);
  CHECK(report.findings.at(0).severity == "hazard");
  CHECK(report.forks.at(1).outcome == "signal");
}
