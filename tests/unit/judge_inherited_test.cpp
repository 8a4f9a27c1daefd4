// Files, memory, vfork children and forks around the handlers: what a child gets, and what not.
#include <sys/mman.h>

#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::Api;
using record::Call;
using record::Evidence;
using record::Kind;
using record::LockType;
using record::Severity;

namespace {

constexpr int kSigsegv = 11;

record::Finding file_lock(LockType type, Call call, std::uint32_t use) {
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = Kind::kSharedDescriptor;
  finding.severity = Severity::kHazard;
  finding.call = call;
  finding.evidence = Evidence::kParentHolds;
  finding.lock_type = type;
  finding.lock = 5;
  finding.lock_words[4] = use;
  finding.holder_tid = 101;
  finding.holder_caller = kReadRowGroup;
  return finding;
}

Finding told(const record::Finding& finding, const std::string& text = "") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(finding, {}, {}, text);
  return story.only();
}

record::Finding missing(std::uint32_t advice, Evidence evidence, Severity severity) {
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = Kind::kMissingMemory;
  finding.severity = severity;
  finding.call = Call::kMemoryAccess;
  finding.evidence = evidence;
  finding.lock_type = LockType::kMemory;
  finding.lock = 0x7f0000001234;
  finding.range_begin = 0x7f0000000000;
  finding.range_end = 0x7f0000010000;
  finding.lock_words[0] = advice;
  finding.holder_caller = kReadAll;
  finding.waiter_frames = 1;
  finding.waiter[0] = kWorker;
  return finding;
}

Report collected(const record::Finding& finding, int status, const std::string& text = "") {
  Story story;
  story.forked(1, 200, {});
  story.arena.finding(finding, {}, {}, text);
  story.arena.as(100, 101).child_status(200, status);
  return story.judged();
}

}  // namespace

TEST_CASE("an unlock in the child takes the parent's flock lock", "[judge][files]") {
  const Finding f =
      told(file_lock(LockType::kFlock, Call::kFlock, record::kFileLockReleased), "/run/app.lock");
  CHECK(f.kind == "shared-descriptor");
  CHECK(f.severity == "hazard");
  CHECK(f.evidence == "parent-holds");
  CHECK(f.verdict == "releases its parent's flock lock on /run/app.lock (descriptor 5)");
  CHECK_THAT(f.explanation, Contains("Thread 101 of the parent took it") &&
                                Contains("descriptor 5 of the child is the same open file") &&
                                Contains("lets others in"));
  CHECK_THAT(f.cure, Contains("Open the file anew in the child"));
  CHECK(f.lock.file == "/run/app.lock");
  CHECK(f.lock.descriptor == 5);
  CHECK(f.lock.mode == "write");
  CHECK(functions(f.holder.acquired).back() == "read_row_group");
}

TEST_CASE("a flock lock taken twice succeeds twice", "[judge][files]") {
  const Finding f =
      told(file_lock(LockType::kOfdLock, Call::kFcntl, record::kFileLockTaken), "/run/app.lock");
  CHECK_THAT(f.verdict, Contains("takes open file description lock on /run/app.lock"));
  CHECK_THAT(f.explanation, Contains("both believe to be alone"));
}

TEST_CASE("record locks are not inherited", "[judge][files]") {
  const Finding asks =
      told(file_lock(LockType::kRecordLock, Call::kFcntl, record::kFileLockTaken), "/var/db");
  CHECK_THAT(asks.verdict, Contains("asks for record lock on /var/db (descriptor 5)"));
  CHECK_THAT(asks.explanation, Contains("a forked child has none of its parent's") &&
                                   Contains("refused or waits until its parent unlocks"));
  CHECK_THAT(asks.cure, Contains("Take the lock again in the child"));
  const Finding unlocks =
      told(file_lock(LockType::kRecordLock, Call::kLockf, record::kFileLockReleased), "/var/db");
  CHECK_THAT(unlocks.explanation, Contains("nothing to unlock"));
}

TEST_CASE("a file without a path, a use that was not recorded", "[judge][files]") {
  const Finding f = told(file_lock(LockType::kFlock, Call::kFlock, 0));
  CHECK_THAT(f.verdict, Contains("uses flock lock on a file without a name"));
  CHECK_THAT(f.explanation, Contains("Whatever one of them does with the lock"));
}

TEST_CASE("locks on two files are two findings, whatever the descriptor", "[judge][files]") {
  Story story;
  record::Finding finding = file_lock(LockType::kFlock, Call::kFlock, record::kFileLockReleased);
  story.forked(1, 200, {});
  story.arena.finding(finding, {}, {}, "/run/a.lock");
  story.arena.finding(finding, {}, {}, "/run/b.lock");
  finding.lock = 6;
  story.arena.finding(finding, {}, {}, "/run/a.lock");
  const auto findings = story.judged().findings;
  REQUIRE(findings.size() == 2);
  CHECK(findings[0].count + findings[1].count == 3);
}

TEST_CASE("memory that was not copied: the signal stays, the report says why", "[judge][memory]") {
  const Report report = collected(missing(MADV_DONTFORK, Evidence::kFault, Severity::kDeadlock),
                                  kSigsegv, "/dev/shm/pool");
  const Finding& f = report.findings.at(0);
  CHECK(f.kind == "missing-memory");
  CHECK(f.severity == "deadlock");
  CHECK(f.died);
  CHECK(f.outcome == "died: SIGSEGV");
  CHECK(f.verdict == "was ended by SIGSEGV: it touched memory that fork did not copy");
  CHECK_THAT(f.explanation, Contains("0x7f0000001234 lies in 0x7f0000000000-0x7f0000010000 "
                                     "(/dev/shm/pool)") &&
                                Contains("marked MADV_DONTFORK"));
  CHECK_THAT(f.cure, Contains("madvise(MADV_DOFORK)"));
  REQUIRE(f.range);
  CHECK(f.range->begin == 0x7f0000000000);
  CHECK(f.range->end == 0x7f0000010000);
  CHECK(f.advice == "MADV_DONTFORK");
  CHECK(f.lock.file == "/dev/shm/pool");
  CHECK(functions(f.holder.acquired) == Names{"read_all"});
  CHECK(report.forks.at(0).outcome == "signal");
  CHECK(report.summary.deadlocked == 0);
}

TEST_CASE("memory that was not copied, of a child whose end nobody saw", "[judge][memory]") {
  const Finding f = told(missing(MADV_DONTFORK, Evidence::kFault, Severity::kDeadlock));
  CHECK(f.severity == "deadlock");
  CHECK(f.verdict == "touches memory that fork did not copy");
  CHECK(f.outcome.empty());
}

TEST_CASE("wiped memory is a probable cause only", "[judge][memory]") {
  const Finding f =
      collected(missing(MADV_WIPEONFORK, Evidence::kPointsThere, Severity::kHazard), kSigsegv)
          .findings.at(0);
  CHECK(f.severity == "hazard");
  CHECK(f.verdict == "probably was ended by SIGSEGV because of memory that fork set to zero");
  CHECK_THAT(f.explanation,
             Contains("probably the cause") && Contains("all zero") && Contains("MADV_WIPEONFORK"));
  CHECK_THAT(f.cure, Contains("madvise(MADV_KEEPONFORK)"));
}

TEST_CASE("an advice that no fork cares about is not named", "[judge][memory]") {
  const Finding f = told(missing(4, Evidence::kFault, Severity::kDeadlock));
  CHECK(f.advice.empty());
  CHECK_THAT(f.explanation, Contains("marked not to be copied"));
}

TEST_CASE("a fault at two addresses of one place is one finding", "[judge][memory]") {
  Story story;
  record::Finding finding = missing(MADV_DONTFORK, Evidence::kFault, Severity::kDeadlock);
  story.forked(1, 200, {});
  story.arena.finding(finding);
  story.forked(2, 201, {});
  finding.fork = 2;
  finding.lock += 64;
  story.arena.finding(finding);
  CHECK(story.only().count == 2);
}

TEST_CASE("a vfork child that calls more than exec is a note with the call", "[judge][vfork]") {
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = Kind::kUnsafeCall;
  finding.severity = Severity::kNote;
  finding.call = Call::kMutexLock;
  finding.evidence = Evidence::kVforkChild;
  finding.waiter_frames = 1;
  finding.waiter[0] = kWorker;
  const Finding f = told(finding);
  CHECK(f.kind == "unsafe-call");
  CHECK(f.severity == "note");
  CHECK(f.verdict == "calls pthread_mutex_lock() in a vfork child, in its parent's memory");
  CHECK_THAT(f.cure, Contains("posix_spawn()"));
  CHECK(f.lock.type.empty());
}

// ---- forks around the handlers ------------------------------------------------------------------

namespace {

/// A fork by `api` of a process with `threads` threads, called at `caller`.
void fork_by(Story& story, std::uint64_t id, std::int32_t child, Api api, std::uint32_t threads,
             std::uint64_t caller = kWorker) {
  record::Fork fork = fork_of(id, child, api);
  fork.frames = 2;
  fork.stack[0] = kWrapper;
  fork.stack[1] = caller;
  fork.threads_total = threads;
  story.arena.as(child, child).fork(fork, {thread(102, "row-reader")});
}

}  // namespace

TEST_CASE("a copy around the at-fork handlers is a note with the consequence", "[judge][bypass]") {
  for (Api api :
       {Api::k_Fork, Api::kClone, Api::kSyscallFork, Api::kSyscallClone, Api::kSyscallClone3}) {
    Story story;
    fork_by(story, 1, 200, api, 3);
    const Finding f = story.only();
    CHECK(f.kind == "fork-bypass");
    CHECK(f.severity == "note");
    CHECK(f.evidence == "skipped-handlers");
    CHECK(f.process == 200);
    CHECK_THAT(f.explanation, Contains("no at-fork handler ran") && Contains("malloc and stdio") &&
                                  Contains("pthread_once()") && Contains("had 3 threads"));
    CHECK_THAT(f.cure, Contains("Use fork()") && Contains("posix_spawn()"));
    CHECK(f.lost.size() == 1);
    CHECK(functions(f.fork_stack) == Names{"worker"});
  }
}

TEST_CASE("each call is named as it was made", "[judge][bypass]") {
  Story story;
  fork_by(story, 1, 200, Api::kSyscallClone3, 2);
  CHECK_THAT(story.only().verdict, Contains("was made by syscall(SYS_clone3), around"));
  Story other;
  fork_by(other, 1, 200, Api::k_Fork, 2);
  CHECK_THAT(other.only().verdict, Contains("was made by _Fork(), around"));
}

TEST_CASE("forks from one place are one note with a count", "[judge][bypass]") {
  Story story;
  fork_by(story, 1, 200, Api::k_Fork, 2);
  fork_by(story, 2, 201, Api::k_Fork, 5);
  fork_by(story, 3, 202, Api::k_Fork, 2, kReadAll);
  fork_by(story, 4, 203, Api::kClone, 2);
  const auto report = story.judged();
  REQUIRE(report.findings.size() == 3);
  CHECK(report.findings[0].count == 2);
  CHECK(report.findings[0].fork == 1);
  CHECK(report.summary.notes == 3);
}

TEST_CASE("no note where nothing was passed by", "[judge][bypass]") {
  Story story;
  SECTION("the process has one thread") { fork_by(story, 1, 200, Api::k_Fork, 1); }
  SECTION("the child exec'ed") {
    fork_by(story, 1, 200, Api::kClone, 3);
    story.arena.exec("/bin/true");
  }
  SECTION("the handlers ran") {
    fork_by(story, 1, 200, Api::kFork, 3);
    fork_by(story, 2, 201, Api::kForkpty, 3);
    fork_by(story, 3, 202, Api::kDaemon, 3);
  }
  SECTION("no memory was copied") {
    fork_by(story, 1, 200, Api::kVfork, 3);
    fork_by(story, 2, 201, Api::kCloneVm, 3);
    fork_by(story, 3, 202, Api::kPosixSpawn, 3);
    fork_by(story, 4, 203, Api::kSystem, 3);
  }
  CHECK(story.judged().findings.empty());
}

TEST_CASE("the summary counts forks by call, and those that are safe", "[judge][bypass]") {
  Story story;
  fork_by(story, 1, 200, Api::kFork, 1);
  fork_by(story, 2, 201, Api::kFork, 1);
  fork_by(story, 3, 202, Api::kPosixSpawn, 1);
  fork_by(story, 4, 203, Api::kSyscallCloneVm, 1);
  const Summary summary = story.judged().summary;
  CHECK(summary.apis == std::map<std::string, std::uint64_t>{
                            {"fork", 2}, {"posix_spawn", 1}, {"syscall(SYS_clone, CLONE_VM)", 1}});
  CHECK(summary.safe == 2);
}
