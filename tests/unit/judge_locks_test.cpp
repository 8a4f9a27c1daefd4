// What is said of each lock type, by what the evidence is and which call met it.
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

record::Finding of(LockType type, Call call, Evidence evidence, std::uint8_t flags = 0) {
  record::Finding finding = Story::orphan();
  finding.lock_type = type;
  finding.call = call;
  finding.evidence = evidence;
  finding.lock_flags = flags;
  return finding;
}

Finding told(Story& story, const record::Finding& finding) {
  story.forked(1, 200, {});
  story.arena.finding(finding, {thread(102, "row-reader")});
  return story.only();
}

Finding told(const record::Finding& finding) {
  Story story;
  return told(story, finding);
}

/// Of the forking thread, which was 101 in the parent and is 200 in the child.
record::Finding own(Kind kind, LockType type, Call call, std::uint8_t flags = 0) {
  record::Finding finding = of(type, call, Evidence::kWrongOwner, flags);
  finding.kind = kind;
  finding.holder_tid = 101;
  return finding;
}

}  // namespace

TEST_CASE("spin lock: the child spins, it does not wait", "[judge][locks]") {
  const Finding f = told(of(LockType::kSpinlock, Call::kSpinLock, Evidence::kHolderTable));
  CHECK(f.severity == "deadlock");
  CHECK(f.evidence == "holder-table");
  CHECK(f.verdict ==
        "spins for ever on spin lock orders.file_lock, held by thread 102 (row-reader), which fork "
        "did not copy");
  CHECK_THAT(f.explanation, Contains("Thread 102 (row-reader) took it and had not released it when "
                                     "thread 101 called fork()") &&
                                Contains("uses all of a processor"));
  CHECK_THAT(f.cure, Contains("parent and child unlock it") && Contains("Better a mutex"));
  CHECK(f.lock.mode.empty());
}

TEST_CASE("rwlock: a reader was lost, a writer waits", "[judge][locks]") {
  const Finding f =
      told(of(LockType::kRwlock, Call::kRwlockWrlock, Evidence::kHolderTable, record::kLockReader));
  CHECK(f.verdict ==
        "waits for ever to write-lock read-write lock orders.file_lock, read-locked by thread 102 "
        "(row-reader), which fork did not copy");
  CHECK(f.lock.mode == "read");
  CHECK_THAT(f.explanation, Contains("took it for reading and had not released it"));
  CHECK_THAT(f.cure, Contains("prepare locks orders.file_lock for writing") &&
                         Contains("pthread_rwlock_init()"));
}

TEST_CASE("rwlock: a writer was lost, a reader waits", "[judge][locks]") {
  const Finding f = told(of(LockType::kRwlock, Call::kRwlockRdlock, Evidence::kOwnerWord));
  CHECK_THAT(f.verdict, Contains("waits for ever to read-lock read-write lock") &&
                            Contains(", held by thread 102"));
  CHECK(f.lock.mode == "write");
  CHECK(f.evidence == "owner-word");
  CHECK_THAT(f.explanation, Contains("held it for writing when"));
}

TEST_CASE("rwlock: in transit nobody can say in which mode", "[judge][locks]") {
  record::Finding finding =
      of(LockType::kRwlock, Call::kRwlockWrlock, Evidence::kInTransit, record::kLockInTransit);
  finding.holder_tid = 0;
  const Finding f = told(finding);
  CHECK(f.lock.mode.empty());
  CHECK_THAT(f.explanation, Contains("just taking or releasing it") && !Contains("for writing") &&
                                !Contains("its owner not yet"));
}

TEST_CASE("semaphore: who waited last is evidence, not ownership", "[judge][locks]") {
  const Finding f =
      told(of(LockType::kSemaphore, Call::kSemWait, Evidence::kWaitedLast, record::kLockEvidence));
  CHECK(f.kind == "orphaned-lock");
  CHECK(f.evidence == "waited-last");
  CHECK_THAT(f.verdict, Contains("waits for ever on semaphore orders.file_lock") &&
                            Contains("waited for last and had not posted") && !Contains("held by"));
  CHECK_THAT(f.explanation, Contains("waited for it last and had not posted it when thread 101") &&
                                Contains("evidence, not ownership") &&
                                Contains("nobody is left in process 200 who would post it"));
  CHECK_THAT(f.cure, Contains("parent and child post it"));
}

TEST_CASE("semaphore: a timed wait ends by its limit", "[judge][locks]") {
  record::Finding finding =
      of(LockType::kSemaphore, Call::kSemTimedwait, Evidence::kWaitedLast, record::kLockEvidence);
  finding.severity = Severity::kHazard;
  const Finding f = told(finding);
  CHECK(f.severity == "hazard");
  CHECK_THAT(f.explanation, Contains("sem_timedwait() in process 200 can only end by its time"));
}

TEST_CASE("static local: its variable is named, not the guard", "[judge][locks]") {
  Story story;
  story.namer.variable(kLock, "guard variable for settings()::instance");
  const Finding f =
      told(story, of(LockType::kStaticGuard, Call::kGuardAcquire, Evidence::kHolderTable));
  CHECK(f.verdict ==
        "waits for ever for the initialisation of the static variable settings()::instance, begun "
        "by thread 102 (row-reader), which fork did not copy");
  CHECK_THAT(f.explanation,
             Contains("was inside the initialisation of the static variable settings()::instance "
                      "when thread 101 called fork()") &&
                 Contains("nobody will ever finish that"));
  CHECK_THAT(f.cure, Contains("initialised before the first fork"));
}

TEST_CASE("stream and once flag held by a lost thread", "[judge][locks]") {
  const Finding file = told(of(LockType::kFile, Call::kFlockfile, Evidence::kHolderTable));
  CHECK_THAT(file.verdict, Contains("waits for ever for stdio stream orders.file_lock, held by"));
  CHECK_THAT(file.cure, Contains("flockfile()"));
  const Finding once = told(of(LockType::kOnce, Call::kOnce, Evidence::kHolderTable));
  CHECK_THAT(once.verdict, Contains("once flag orders.file_lock, begun by thread 102"));
  CHECK_THAT(once.explanation, Contains("was inside the function that runs once"));
}

TEST_CASE("a C11 mutex is told under its own call", "[judge][locks]") {
  const Finding f = told(of(LockType::kMutexNormal, Call::kMtxLock, Evidence::kOwnerWord));
  CHECK(f.waiter.call == "mtx_lock");
  record::Finding timed = of(LockType::kMutexNormal, Call::kMtxTimedlock, Evidence::kOwnerWord);
  timed.severity = Severity::kHazard;
  CHECK_THAT(told(timed).explanation, Contains("mtx_timedlock() in process 200 can only end"));
}

TEST_CASE("stale owner: an unlock that fails leaves the lock locked", "[judge][locks]") {
  struct Case {
    LockType type;
    std::uint8_t flags;
    const char* words;
  };
  for (const Case& one : {Case{LockType::kMutexRecursive, 0, "A recursive mutex compares"},
                          Case{LockType::kMutexErrorcheck, 0, "An error-checking mutex compares"},
                          Case{LockType::kMutexNormal, record::kLockRobust, "A robust mutex"}}) {
    record::Finding finding = own(Kind::kStaleOwner, one.type, Call::kMutexUnlock, one.flags);
    finding.severity = Severity::kHazard;
    const Finding f = told(finding);
    CHECK(f.kind == "stale-owner");
    CHECK(f.severity == "hazard");
    CHECK(f.evidence == "wrong-owner");
    CHECK_THAT(f.verdict, Contains("cannot unlock") && Contains("thread id from before the fork"));
    CHECK_THAT(f.explanation, Contains(one.words) && Contains("still the old id 101") &&
                                  Contains("new thread id 200") && Contains("fails with EPERM") &&
                                  Contains("Whoever locks it next waits for ever"));
    CHECK_THAT(f.cure, Contains("set orders.file_lock up anew with pthread_mutex_init()"));
  }
}

TEST_CASE("stale owner: a priority-inheritance mutex aborts at the next lock", "[judge][locks]") {
  record::Finding finding =
      own(Kind::kStaleOwner, LockType::kMutexNormal, Call::kMutexUnlock, record::kLockPi);
  finding.severity = Severity::kHazard;
  CHECK_THAT(told(finding).explanation, Contains("locked again, glibc aborts the process"));
}

TEST_CASE("stale owner: the next lock waits for itself", "[judge][locks]") {
  const Finding f = told(own(Kind::kStaleOwner, LockType::kMutexRecursive, Call::kMutexLock));
  CHECK(f.severity == "deadlock");
  CHECK_THAT(f.verdict, Contains("waits for ever for recursive mutex") &&
                            Contains("whose owner is a thread id from before the fork"));
  CHECK_THAT(f.explanation, Contains("unlocking fails with EPERM") && Contains("waits for itself"));
}

TEST_CASE("stale owner: an rwlock held for writing is unlocked as a reader's", "[judge][locks]") {
  record::Finding finding = own(Kind::kStaleOwner, LockType::kRwlock, Call::kRwlockUnlock);
  finding.severity = Severity::kHazard;
  const Finding unlock = told(finding);
  CHECK_THAT(unlock.explanation, Contains("takes the caller for a reader") &&
                                     Contains("a count of readers that is 0") &&
                                     Contains("damaged"));
  CHECK_THAT(unlock.cure, Contains("pthread_rwlock_init()"));
  const Finding lock = told(own(Kind::kStaleOwner, LockType::kRwlock, Call::kRwlockRdlock));
  CHECK_THAT(lock.explanation, Contains("not told EDEADLK but waits"));
}

TEST_CASE("the call a finding is about is not where the lock was taken", "[judge][locks]") {
  record::Finding finding = own(Kind::kStaleOwner, LockType::kRwlock, Call::kRwlockWrlock);
  finding.holder_caller = kReadAll;  // the waiter's first frame outside the preload library
  CHECK(told(finding).holder.acquired.empty());
  finding.holder_caller = kReadRowGroup;
  CHECK(functions(told(finding).holder.acquired).back() == "read_row_group");
}

TEST_CASE("a priority-inheritance mutex whose holder had ended is waited for", "[judge][locks]") {
  record::Finding finding =
      of(LockType::kMutexNormal, Call::kMutexLock, Evidence::kOwnerWord, record::kLockPi);
  CHECK_THAT(told(finding).verdict, Contains("can never take priority-inheritance mutex"));
  CHECK_THAT(told(finding).explanation, Contains("a thread of another process, and glibc aborts"));
  finding.holder_exited = 1;
  CHECK_THAT(told(finding).verdict, Contains("waits for ever for priority-inheritance mutex"));
  CHECK_THAT(told(finding).explanation, !Contains("glibc aborts"));
}

TEST_CASE("self-held: read lock and spin lock of the forking thread", "[judge][locks]") {
  record::Finding reader =
      own(Kind::kSelfHeldLock, LockType::kRwlock, Call::kRwlockWrlock, record::kLockReader);
  reader.evidence = Evidence::kHolderTable;
  CHECK_THAT(told(reader).explanation,
             Contains("held it for reading itself when it called fork()") &&
                 Contains("waits for itself") && !Contains("EPERM"));
  record::Finding spin = own(Kind::kSelfHeldLock, LockType::kSpinlock, Call::kSpinLock);
  spin.evidence = Evidence::kHolderTable;
  const Finding f = told(spin);
  CHECK_THAT(f.verdict, Contains("spins for ever on spin lock"));
  CHECK_THAT(f.explanation, Contains("spins without end"));
  CHECK_THAT(f.cure, Contains("pthread_spin_init()"));
}

TEST_CASE("self-held: a fork inside the initialisation of a static variable", "[judge][locks]") {
  record::Finding finding = own(Kind::kSelfHeldLock, LockType::kStaticGuard, Call::kGuardAcquire);
  finding.evidence = Evidence::kHolderTable;
  const Finding f = told(finding);
  CHECK_THAT(f.explanation, Contains("was inside the initialisation of the static variable") &&
                                Contains("in the middle of it"));
  CHECK_THAT(f.cure, Contains("Do not fork inside the initialisation"));
}

TEST_CASE("a self-held lock that is tried is not said to be another thread's", "[judge][locks]") {
  record::Finding finding = own(Kind::kSelfHeldLock, LockType::kMutexNormal, Call::kMutexTrylock);
  finding.severity = Severity::kHazard;
  CHECK(told(finding).verdict ==
        "cannot take mutex orders.file_lock, which it took itself before the fork");
}

TEST_CASE("the fork's list says how each lock is held and how that is known", "[judge][forks]") {
  Story story;
  const auto held = [](std::uint64_t address, LockType type, std::uint8_t flags) {
    return record::HeldLock{address, kReadRowGroup, 102, type, flags, 0, 0};
  };
  story.forked(1, 200,
               {held(kLock, LockType::kRwlock, record::kLockReader),
                held(kOtherLock, LockType::kRwlock, 0), held(0x1a00, LockType::kSpinlock, 0),
                held(0x1b00, LockType::kSemaphore, record::kLockEvidence),
                held(0x1c00, LockType::kMutexNormal, record::kLockPshared | record::kLockShared),
                held(0x1d00, LockType::kMutexAdaptive, record::kLockInTransit)});
  const auto locks = story.judged().forks.at(0).held;
  REQUIRE(locks.size() == 6);
  CHECK(locks[0].lock.mode == "read");
  CHECK(locks[0].evidence == "holder-table");
  CHECK(locks[1].lock.mode == "write");
  CHECK(locks[1].evidence == "owner-word");
  CHECK(locks[2].lock.mode.empty());
  CHECK(locks[2].evidence == "holder-table");
  CHECK(locks[3].evidence == "waited-last");
  CHECK(locks[4].lock.shared);
  CHECK(locks[4].evidence == "owner-word");
  CHECK_FALSE(locks[0].lock.shared);
  CHECK(locks[5].evidence == "in-transit");
}

TEST_CASE("an untouched lock that lives by its table is a hazard as well", "[judge][hazards]") {
  Story story;
  record::HeldLock lock = Story::held();
  SECTION("a process-shared mutex in private memory: fork copied it") {
    lock.flags = record::kLockPshared;
    story.forked(1, 200, {lock});
    CHECK_THAT(story.only().verdict, Contains("held process-shared mutex"));
  }
  SECTION("a lock held for reading") {
    lock.type = LockType::kRwlock;
    lock.flags = record::kLockReader;
    story.forked(1, 200, {lock});
    const Finding f = story.only();
    CHECK_THAT(f.explanation, Contains("held it for reading when"));
    CHECK(f.evidence == "holder-table");
    CHECK(f.lock.mode == "read");
  }
  SECTION("a static variable half initialised") {
    lock.type = LockType::kStaticGuard;
    story.forked(1, 200, {lock});
    CHECK_THAT(story.only().verdict, Contains("was inside the initialisation of the static"));
  }
}
