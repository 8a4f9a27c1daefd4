// Waits for threads that are gone: each object, each evidence.
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using record::Call;
using record::Evidence;
using record::LockType;
using record::Severity;
using record::ThreadState;

namespace {

record::Finding wait(LockType type, Call call, Evidence evidence) {
  record::Finding finding = Story::orphan();
  finding.kind = record::Kind::kLostThread;
  finding.lock_type = type;
  finding.call = call;
  finding.evidence = evidence;
  if (evidence == Evidence::kNobodyLeft) {
    finding.holder_tid = 0;
    finding.holder_start = finding.holder_caller = 0;
    std::memset(finding.holder_name, 0, sizeof finding.holder_name);
  }
  return finding;
}

Finding told(const record::Finding& finding, const std::vector<record::ThreadInfo>& lost,
             const std::optional<record::Outcome>& end = {}) {
  Story story;
  story.forked(1, 200, {});
  const auto id = story.arena.finding(finding, lost);
  if (end) story.arena.finding_end(id, *end);
  return story.only();
}

}  // namespace

TEST_CASE("a semaphore nobody is left to post", "[judge][waits]") {
  const Finding f = told(wait(LockType::kSemaphore, Call::kSemWait, Evidence::kSameCondition),
                         {thread(102, "feeder", ThreadState::kSemWait, kOtherLock)});
  CHECK(f.kind == "lost-thread");
  CHECK(f.evidence == "same-object");
  CHECK(f.verdict ==
        "waits for ever on semaphore orders.file_lock for a thread that fork did not copy");
  CHECK_THAT(f.explanation,
             Contains("until another thread posts it") &&
                 Contains("thread 102 (feeder) was waiting on semaphore orders.index_lock") &&
                 Contains("waited on it or posted it before") &&
                 Contains("nobody is left in process 200 who could post it"));
  CHECK(f.lost.at(0).state == "waiting on a semaphore");
}

TEST_CASE("the array in a semaphore's union is no part of its name", "[judge][waits]") {
  const auto named = [](LockType type, const char* symbol) {
    Story story;
    story.namer.variable(kLock, symbol);
    story.forked(1, 200, {});
    story.arena.finding(wait(type, Call::kSemWait, Evidence::kSameCondition), {});
    return story.only().lock.symbol;
  };
  CHECK(named(LockType::kSemaphore, "session_lock[0]") == "session_lock");
  CHECK(named(LockType::kSemaphore, "slots[0][0]") == "slots[0]");
  CHECK(named(LockType::kSemaphore, "slots[1]") == "slots[1]");
  CHECK(named(LockType::kFutex, "words[0]") == "words[0]");
}

TEST_CASE("with nobody left and nobody known, no thread is accused", "[judge][waits]") {
  for (LockType type : {LockType::kSemaphore, LockType::kFutex}) {
    const Call call = type == LockType::kFutex ? Call::kFutexWait : Call::kSemWait;
    const Finding f =
        told(wait(type, call, Evidence::kNobodyLeft), {thread(102, "a"), thread(103, "b")});
    CHECK(f.evidence == "nobody-left");
    CHECK(f.holder.tid == 0);
    CHECK_THAT(f.verdict, Contains("no thread is left who could") && !Contains("102"));
    CHECK_THAT(f.explanation, Contains("None of them is known to have worked with it") &&
                                  Contains("thread 102 (a) and thread 103 (b) were running"));
    CHECK(f.lost.size() == 2);
  }
}

TEST_CASE("a barrier whose other threads were not copied", "[judge][waits]") {
  const Finding f = told(wait(LockType::kBarrier, Call::kBarrierWait, Evidence::kSameCondition),
                         {thread(102, "", ThreadState::kBarrierWait, kLock)});
  CHECK_THAT(f.verdict, Contains("waits for ever at barrier orders.file_lock"));
  CHECK_THAT(f.explanation, Contains("until the other threads arrive there") &&
                                Contains("thread 102 was waiting at barrier orders.file_lock"));
  CHECK_THAT(f.cure, Contains("new barrier"));
}

TEST_CASE("a futex word says whose locks are such words", "[judge][waits]") {
  const Finding f = told(wait(LockType::kFutex, Call::kFutexWait, Evidence::kSameCondition),
                         {thread(102, "pool-0", ThreadState::kFutexWait, kLock)});
  CHECK(f.waiter.call == "syscall(SYS_futex)");
  CHECK_THAT(f.explanation, Contains("Rust's standard library") &&
                                Contains("waiting on futex word orders.file_lock") &&
                                Contains("who could wake it"));
}

TEST_CASE("calls that wait for waiters which were not copied", "[judge][waits]") {
  struct Case {
    Call call;
    const char* name;
  };
  for (const Case& one : {Case{Call::kCondSignal, "pthread_cond_signal()"},
                          Case{Call::kCondBroadcast, "pthread_cond_broadcast()"},
                          Case{Call::kCondDestroy, "pthread_cond_destroy()"},
                          Case{Call::kCndDestroy, "cnd_destroy()"}}) {
    const Finding f = told(wait(LockType::kCondition, one.call, Evidence::kInheritedWaiters),
                           {thread(102, "row-reader", ThreadState::kCondWait, kLock)});
    CHECK(f.severity == "deadlock");
    CHECK(f.evidence == "inherited-waiters");
    CHECK_THAT(f.verdict,
               Contains(std::string("waits for ever in ") + one.name + " on condition variable"));
    CHECK_THAT(f.explanation, Contains("still counts waiters that exist in the parent only") &&
                                  Contains("Thread 102 (row-reader) was waiting there") &&
                                  Contains(std::string("can let ") + one.name + " return"));
    CHECK_THAT(f.cure, Contains("neither signal, broadcast nor destroy") && Contains("new object"));
  }
}

TEST_CASE("a barrier cannot be destroyed while it counts threads inside", "[judge][waits]") {
  const Finding f =
      told(wait(LockType::kBarrier, Call::kBarrierDestroy, Evidence::kInheritedWaiters),
           {thread(102, "", ThreadState::kBarrierWait, kLock)});
  CHECK_THAT(f.explanation, Contains("until every thread has left the barrier"));
  CHECK_THAT(f.cure, Contains("inherited barrier"));
}

TEST_CASE("join of a vanished thread: the answer is wrong", "[judge][waits]") {
  record::Finding finding = wait(LockType::kThread, Call::kJoin, Evidence::kThreadGone);
  finding.severity = Severity::kHazard;
  finding.lock = 0x7f0000001000;
  const Finding f = told(finding, {thread(102, "row-reader", ThreadState::kJoining, 0x7f00)},
                         record::Outcome::kAcquired);
  CHECK(f.severity == "hazard");
  CHECK(f.evidence == "thread-gone");
  CHECK(f.outcome == "came back");
  CHECK_FALSE(f.died);
  CHECK(f.verdict ==
        "joined thread 102 (row-reader), which fork did not copy: the result is not that thread's");
  CHECK_THAT(f.explanation, Contains("pthread_join() returned 0 and a result that this thread "
                                     "never produced") &&
                                !Contains("no deadlock"));
  CHECK_THAT(f.cure, Contains("Do not join in the child"));
  CHECK(f.lost.at(0).state == "waiting for a thread to end");
}

TEST_CASE("join after a fork around libc's part waits for ever", "[judge][waits]") {
  record::Finding finding = wait(LockType::kThread, Call::kJoin, Evidence::kThreadGone);
  const Finding f = told(finding, {}, record::Outcome::kBlocked);
  CHECK(f.severity == "deadlock");
  CHECK_THAT(f.verdict, Contains("waits for ever for the end of thread 102 (row-reader)"));
  CHECK_THAT(f.explanation, Contains("passed by libc's part"));
}

TEST_CASE("two children that join the same way are one finding", "[judge][waits]") {
  Story story;
  record::Finding finding = wait(LockType::kThread, Call::kJoin, Evidence::kThreadGone);
  finding.severity = Severity::kHazard;
  story.forked(1, 200, {});
  finding.lock = 0x7f0000001000;
  story.arena.finding_end(story.arena.finding(finding), record::Outcome::kAcquired);
  story.forked(2, 201, {});
  finding.fork = 2;
  finding.lock = 0x7f0000009000;
  story.arena.finding_end(story.arena.finding(finding), record::Outcome::kAcquired);
  CHECK(story.only().count == 2);
}

TEST_CASE("who waits tells a library's lock from its events", "[judge][waits]") {
  const auto in = [](const char* function) {
    Story story;
    story.namer.function(kReadAll, function);
    story.forked(1, 200, {});
    story.arena.finding(wait(LockType::kFutex, Call::kFutexWait, Evidence::kNobodyLeft), {});
    return story.only();
  };
  CHECK(in("read_all").kind == "lost-thread");
  CHECK(in("read_all").lock.type == "futex word");
  CHECK(in("g_mutex_lock").kind == "orphaned-lock");
  CHECK(in("g_mutex_lock").lock.type == "GMutex");
  CHECK(in("g_cond_wait").kind == "lost-thread");
  CHECK(in("g_cond_wait").lock.type == "GCond");
  // Of a lock of Python's the Python code would tell, which the library does not see.
  CHECK(in("PyThread_acquire_lock_timed").kind == "lost-thread");
}
