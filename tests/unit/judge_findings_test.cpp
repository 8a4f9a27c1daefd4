// Findings: who held what, where, merged and ordered; and what is not worth a finding.
#include <catch2/catch.hpp>

#include "detector/verdict/report.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using Catch::Contains;
using namespace forkscope::test;

TEST_CASE("an orphaned lock: lock, holder, fork, waiter and why", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  story.arena.finding(Story::orphan(), {thread(102, "row-reader")});
  const Finding finding = story.only();
  CHECK(finding.kind == "orphaned-lock");
  CHECK(finding.severity == "deadlock");
  CHECK(finding.process == 200);
  CHECK(finding.program == "reader");
  CHECK(finding.verdict ==
        "waits for ever for mutex orders.file_lock, held by thread 102 "
        "(row-reader), which fork did not copy");
  CHECK(finding.lock.type == "mutex");
  CHECK(finding.lock.symbol == "orders.file_lock");
  CHECK(finding.lock.module == "/usr/bin/reader");
  CHECK(finding.holder.tid == 102);
  CHECK(finding.holder.name == "row-reader");
  REQUIRE(finding.holder.start);
  CHECK(finding.holder.start->function == "reader_loop");
  CHECK(finding.waiter.tid == 200);
  CHECK(finding.waiter.call == "pthread_mutex_lock");
  CHECK(finding.explanation ==
        "Thread 102 (row-reader) held it when thread 101 called fork(). A forked child has only "
        "the thread that called fork, so nobody in process 200 will ever unlock it.");
  CHECK(finding.lost.size() == 1);
  CHECK(finding.count == 1);
  CHECK(finding.records.size() == 1);
}

TEST_CASE("the preload library's frames are in no stack", "[judge][findings]") {
  Story story;
  story.unwind = always({kWrapper, kReadRowGroup, kReaderLoop, kTrampoline, kStartThread});
  story.forked(1, 200);
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  finding.holder_creator_frames = 2;
  finding.holder_creator[0] = kWrapper;
  finding.holder_creator[1] = kMain;
  story.arena.finding(finding);
  const Finding found = story.only();
  CHECK(functions(found.holder.acquired) == Names{"std::mutex::lock", "std::lock_guard",
                                                  "read_row_group", "reader_loop", "start_thread"});
  CHECK(found.holder.acquired_complete);
  CHECK(functions(found.holder.creator) == Names{"main"});
  CHECK(functions(found.waiter.stack) == Names{"read_all"});
  CHECK(functions(found.fork_stack) == Names{"worker", "main"});
}

TEST_CASE("a std::thread is known by the program's function, not the library's",
          "[judge][findings]") {
  Story story;

  story.arena.module(0x9000, 0xa000, "/usr/lib/libstdc++.so.6");
  story.namer.function(0x9010, "execute_native_thread_routine");
  story.namer.function(0x1070, "Reader::loop()", {"void std::__invoke_impl<void, int (*)()>()"});
  story.namer.function(0x1080, "void std::thread::_State_impl<int (*)(char)>::_M_run()");
  story.forked(1, 200, {});
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  finding.holder_start = 0x9010;
  story.arena.finding(finding);
  SECTION("when the stack reaches the thread's first frame") {
    story.unwind = always({kReadRowGroup, 0x1070, 0x1080, 0x9020, kStartThread});
    CHECK(story.only().holder.start->function == "Reader::loop()");
  }
  SECTION("but not when the outer part is missing") {
    story.unwind = always({kReadRowGroup}, false);
    CHECK(story.only().holder.start->function == "execute_native_thread_routine");
  }
}

TEST_CASE("addresses of stacks are return addresses, start routines are not", "[judge][findings]") {
  Story story;
  story.unwind = always({0x1060});
  story.forked(1, 200, {});
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  finding.waiter_frames = 0;
  story.arena.finding(finding);
  story.judged();
  CHECK(story.namer.asked_as_call.at(0x1060));
  CHECK(story.namer.asked_as_call.at(kReadRowGroup));
  CHECK_FALSE(story.namer.asked_as_call.at(kReaderLoop));
}

TEST_CASE("where a signal interrupted a thread is no return address", "[judge][findings]") {
  Story story;
  story.unwind = [](auto&&...) { return UnwoundStack{{kReadRowGroup, 0x1060}, true, {0x1060}}; };
  story.forked(1, 200, {});
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  story.arena.finding(finding);
  story.judged();
  CHECK(story.namer.asked_as_call.at(kReadRowGroup));
  CHECK_FALSE(story.namer.asked_as_call.at(0x1060));
}

TEST_CASE("without a stack the kept return address says where it was acquired",
          "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  record::Finding finding = Story::orphan();
  SECTION("no registers were kept") {}
  SECTION("unwinding gave nothing") { finding.holder_has_registers = 1; }
  SECTION("unwinding did not leave the library") {
    finding.holder_has_registers = 1;
    story.unwind = always({kWrapper});
  }
  story.arena.finding(finding);
  const Finding found = story.only();
  CHECK(functions(found.holder.acquired) ==
        Names{"std::mutex::lock", "std::lock_guard", "read_row_group"});
  CHECK_FALSE(found.holder.acquired_complete);
}

TEST_CASE("the return address that is certain leads a stack that misses it", "[judge][findings]") {
  Story story;
  story.unwind = always({kWrapper, kReaderLoop, kStartThread});
  story.forked(1, 200);
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  story.arena.finding(finding);
  CHECK(functions(story.only().holder.acquired) == Names{"std::mutex::lock", "std::lock_guard",
                                                         "read_row_group", "reader_loop",
                                                         "start_thread"});
}

TEST_CASE("the unwinder gets the finding's registers, memory and modules", "[judge][findings]") {
  Story story;
  story.unwind = [](const record::Registers& registers, const std::vector<MemoryBytes>& memory,
                    const std::vector<ModuleRecord>& modules) {
    CHECK(registers.sp == 0x4242);
    REQUIRE(memory.size() == 1);
    CHECK(memory[0].address == 0x4000);
    CHECK(modules.size() == 3);
    return UnwoundStack{{kReadRowGroup}, false};
  };
  story.forked(1, 200);
  record::Finding finding = Story::orphan();
  finding.holder_has_registers = 1;
  finding.acquired.sp = 0x4242;
  story.arena.finding(finding, {}, {{0x4000, std::vector<std::byte>(16)}});
  CHECK_FALSE(story.only().holder.acquired_complete);
}

TEST_CASE("children that hang in the same way are one finding with a count", "[judge][findings]") {
  Story story;
  for (int i = 0; i < 4; ++i) {
    story.forked(static_cast<std::uint64_t>(i + 1), 200 + i);
    story.arena.finding(Story::orphan(static_cast<std::uint64_t>(i + 1)));
  }
  const Finding finding = story.only();
  CHECK(finding.count == 4);
  CHECK(finding.records.size() == 4);
  CHECK(finding.process == 200);
}

TEST_CASE("other locks, call sites, severities are other findings", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  story.arena.finding(Story::orphan());
  story.arena.finding(Story::orphan(1, kOtherLock));
  record::Finding elsewhere = Story::orphan();
  elsewhere.waiter[1] = kMain;
  story.arena.finding(elsewhere);
  story.forked(2, 201);  // who hangs already meets nothing else
  record::Finding hazard = Story::orphan(2);
  hazard.severity = record::Severity::kHazard;
  hazard.call = record::Call::kMutexTrylock;
  story.arena.finding(hazard);
  CHECK(story.judged().findings.size() == 4);
}

TEST_CASE("the same library lock in two address spaces is one finding", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  story.arena.finding(Story::orphan());
  constexpr std::uint64_t kShift = 0x100000;
  story.arena.as(300, 300, 2).hello("/usr/bin/reader", {"reader"});
  story.arena.module(0x1000 + kShift, 0x2000 + kShift, "");
  record::Fork fork = fork_of(2, 400);
  fork.parent = 300;
  story.arena.as(400, 400, 2).fork(fork);
  record::Finding moved = Story::orphan(2, kLock + kShift);
  moved.holder_caller += kShift;
  moved.waiter_frames = 1;
  moved.waiter[0] = kReadAll + kShift;
  story.namer.function(kReadAll + kShift, "read_all");
  story.namer.variable(kLock + kShift, "orders.file_lock");
  story.arena.finding(moved);
  CHECK(story.only().count == 2);
}

TEST_CASE("findings come gravest first, then in order of time", "[judge][findings]") {
  Story story;
  story.forked(1, 200, {Story::held(kHeapLock)});
  record::Finding latent = Story::orphan(1, 0x1a00);
  latent.severity = record::Severity::kLatent;
  story.arena.finding(latent);
  story.arena.finding(Story::orphan(1, kOtherLock));
  story.arena.finding(Story::orphan(1, kLock));
  const auto findings = story.judged().findings;
  REQUIRE(findings.size() == 4);
  CHECK(findings[0].lock.symbol == "orders.index_lock");
  CHECK(findings[1].lock.symbol == "orders.file_lock");
  CHECK(findings[2].severity == "latent");
  CHECK(findings[3].severity == "hazard");
}

TEST_CASE("a call that came back makes its deadlock a hazard", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  const auto id = story.arena.finding(Story::orphan());
  story.arena.finding_end(id, record::Outcome::kAcquired);
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 1);
  CHECK(report.findings[0].severity == "hazard");
  CHECK(report.findings[0].outcome == "acquired later");
  CHECK_THAT(report.findings[0].explanation, Contains("came back after all"));
  CHECK(report.summary.hazards == 1);
  CHECK(report.summary.deadlocked == 0);
}

TEST_CASE("a broken deadlock is reported as one and says it was let through", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  const auto id = story.arena.finding(Story::orphan());
  story.arena.finding_end(id, record::Outcome::kBroken);
  const Finding finding = story.only();
  CHECK(finding.severity == "deadlock");
  CHECK(finding.outcome == "let through");
  CHECK_THAT(finding.explanation, Contains("--on-deadlock=break"));
}

TEST_CASE("explanations follow the evidence", "[judge][findings]") {
  Story story;
  story.forked(1, 200);
  record::Finding finding = Story::orphan();
  const auto explanation = [&](const std::vector<record::ThreadInfo>& threads = {}) {
    story.arena.finding(finding, threads);
    return story.only().explanation;
  };
  SECTION("the lock was in transit, holder known") {
    finding.evidence = record::Evidence::kInTransit;
    CHECK_THAT(explanation(),
               Contains("Thread 102 (row-reader) was just taking or releasing it when thread 101"));
  }
  SECTION("the lock was in transit between candidates") {
    finding.evidence = record::Evidence::kInTransit;
    finding.holder_tid = 0;
    const auto locking = record::ThreadState::kLocking;
    CHECK_THAT(explanation({thread(102, "a", locking, kLock), thread(103, "", locking, kLock),
                            thread(104, "c", locking, kOtherLock)}),
               Contains("Thread 102 (a) or thread 103 was just taking"));
  }
  SECTION("the holder had ended") {
    finding.holder_exited = 1;
    CHECK_THAT(explanation(),
               Contains("ended without unlocking it") && Contains("lost in the parent as well"));
  }
  SECTION("a timed lock ends") {
    finding.severity = record::Severity::kHazard;
    finding.call = record::Call::kMutexTimedlock;
    CHECK_THAT(explanation(), Contains("pthread_mutex_timedlock() in process 200 can only end by "
                                       "its time limit"));
  }
  SECTION("glibc aborts for a priority-inheritance mutex") {
    finding.lock_flags = record::kLockPi;
    CHECK_THAT(explanation(), Contains("glibc aborts"));
    CHECK_THAT(story.only().verdict, Contains("can never take priority-inheritance mutex") &&
                                         Contains("glibc aborts or waits for ever"));
  }
  SECTION("the fork's record was lost") {
    finding.fork = 77;
    story.arena.finding(finding);
    const auto findings = story.judged().findings;  // beside the untouched lock of fork 1
    CHECK_THAT(findings.at(0).explanation, Contains("when process 200 was forked"));
    CHECK(findings.at(0).fork_stack.empty());
  }
}

TEST_CASE("a lost thread: what is waited for and by whom it would have been signalled",
          "[judge][findings]") {
  Story story;
  story.namer.variable(0x1a00, "pool.done");
  story.namer.variable(0x1a80, "pool.work");
  story.namer.variable(0x1b00, "pool.lock");
  story.forked(1, 200, {});
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = record::Kind::kLostThread;
  finding.call = record::Call::kCondWait;
  finding.evidence = record::Evidence::kSameMutex;
  finding.lock_type = record::LockType::kCondition;
  finding.lock = 0x1a00;
  finding.wait_mutex = 0x1b00;
  finding.holder_tid = 102;
  std::memcpy(finding.holder_name, "pool-0", 7);
  finding.living = 1;
  const auto waiting = record::ThreadState::kCondWait;
  story.arena.finding(finding, {thread(102, "pool-0", waiting, 0x1a80),
                                thread(103, "pool-1", waiting, 0x1a80), thread(104, "timer")});
  const Finding found = story.only();
  CHECK(found.kind == "lost-thread");
  CHECK(found.verdict ==
        "waits for ever on condition variable pool.done for a thread that fork "
        "did not copy");
  CHECK(found.waiter.call == "pthread_cond_wait");
  CHECK(found.lost.size() == 3);
  CHECK(found.lost[0].state == "waiting on a condition variable");
  CHECK(found.holder.tid == 102);
  CHECK_THAT(found.explanation,
             Contains("waits on condition variable pool.done (with mutex pool.lock)") &&
                 Contains("these 3 were not copied when thread 101 called fork()") &&
                 Contains("thread 102 (pool-0) and thread 103 (pool-1) were waiting on condition "
                          "variable pool.work") &&
                 Contains("thread 104 (timer) was running") &&
                 Contains("Thread 102 (pool-0) worked with the same mutex") &&
                 Contains("nobody is left in process 200 who could signal it"));
}

TEST_CASE("what a crowd of lost threads was at stands in their list alone", "[judge][findings]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding finding{};
  finding.fork = 1;
  finding.kind = record::Kind::kLostThread;
  finding.call = record::Call::kCondWait;
  finding.evidence = record::Evidence::kNobodyLeft;
  finding.lock_type = record::LockType::kCondition;
  finding.lock = 0x1a00;
  finding.living = 1;
  const auto waiting = record::ThreadState::kCondWait;
  std::vector<record::ThreadInfo> lost;
  for (std::int32_t tid = 102; tid < 107; ++tid)
    lost.push_back(thread(tid, "pool", waiting, 0x1a80));
  story.arena.finding(finding, lost);
  const Finding found = story.only();
  CHECK(found.lost.size() == 5);
  CHECK_THAT(found.explanation,
             Contains("the 5 others were not copied when thread 101 called fork()") &&
                 !Contains("thread 103 (pool)") && Contains("nobody is left in process 200"));
}

TEST_CASE("a self-held lock depends on whether the type compares owners", "[judge][findings]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding finding = Story::orphan();
  finding.kind = record::Kind::kSelfHeldLock;
  finding.holder_tid = 101;
  SECTION("a normal mutex waits for itself") {
    story.arena.finding(finding);
    CHECK_THAT(story.only().explanation, Contains("inside the critical section") &&
                                             Contains("waits for itself") && !Contains("EPERM"));
  }
  SECTION("a recursive one no longer knows its owner") {
    finding.lock_type = record::LockType::kMutexRecursive;
    story.arena.finding(finding);
    CHECK_THAT(story.only().explanation, Contains("EPERM") && Contains("recursive mutex"));
  }
}

TEST_CASE("a lock without a name is told by its module or address", "[judge][findings]") {
  Story story;
  story.forked(1, 200, {});
  SECTION("in a stripped library") {
    story.arena.finding(Story::orphan(1, 0x5800));
    CHECK(story.only().verdict ==
          "waits for ever for mutex at libc.so.6+0x800, held by thread "
          "102 (row-reader), which fork did not copy");
  }
  SECTION("on the heap") {
    story.arena.finding(Story::orphan(1, kHeapLock));
    CHECK(story.only().verdict ==
          "waits for ever for mutex at 0x99990000, held by thread 102 "
          "(row-reader), which fork did not copy");
  }
}

TEST_CASE("a lock held by another thread and not touched is a hazard", "[judge][hazards]") {
  Story story;
  story.forked(1, 200);
  story.arena.exit(0);
  story.forked(2, 201);
  story.arena.exit(0);
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 1);
  const Finding& hazard = report.findings[0];
  CHECK(hazard.severity == "hazard");
  CHECK(hazard.kind == "orphaned-lock");
  CHECK(hazard.count == 2);
  CHECK(hazard.records.empty());
  CHECK(hazard.waiter.tid == 0);
  CHECK(hazard.holder.name == "row-reader");
  CHECK(hazard.verdict == "was forked while another thread held mutex orders.file_lock");
  CHECK_THAT(hazard.explanation, Contains("Process 200 ended without waiting for it"));
  CHECK(report.summary.hazards == 1);
}

TEST_CASE("no hazard where nothing was orphaned", "[judge][hazards]") {
  Story story;
  record::HeldLock lock = Story::held();
  SECTION("the child exec'ed") {
    story.forked(1, 200);
    story.arena.exec("/bin/true");
  }
  SECTION("the forking thread held it: its at-fork handlers did") {
    lock.self = 1;
    lock.owner = 200;  // as the child sees it
    story.forked(1, 200, {lock});
  }
  SECTION("its holder can still unlock it: it lies in shared memory") {
    lock.flags = record::kLockPshared | record::kLockShared;
    story.forked(1, 200, {lock});
  }
  SECTION("nobody owns a semaphore: who waited last may be a consumer") {
    lock.type = record::LockType::kSemaphore;
    lock.flags = record::kLockEvidence;
    story.forked(1, 200, {lock});
  }
  SECTION("vfork and posix_spawn copy no memory") {
    story.forked(1, 200, {lock}, record::Api::kPosixSpawn);
    story.forked(2, 0, {lock}, record::Api::kVfork);
    story.forked(3, 201, {lock}, record::Api::kCloneVm);
    story.forked(4, 202, {lock}, record::Api::kSystem);
    story.forked(5, 203, {lock}, record::Api::kPidfdSpawn);
  }
  CHECK(story.judged().findings.empty());
}

TEST_CASE("a deadlock on a lock is not repeated as a hazard", "[judge][hazards]") {
  Story story;
  story.forked(1, 200, {Story::held(), Story::held(kHeapLock)});
  story.arena.finding(Story::orphan());
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].severity == "deadlock");
  CHECK(report.findings[1].lock.address == kHeapLock);
}

TEST_CASE("a fork's report names its threads, locks and caller", "[judge][forks]") {
  Story story;
  story.forked(1, 200);
  const ForkReport fork = story.judged().forks.at(0);
  CHECK(fork.api == "fork");
  CHECK(fork.pid == 100);
  CHECK(fork.tid == 101);
  CHECK(fork.child == 200);
  REQUIRE(fork.caller);
  CHECK(fork.caller->function == "worker");
  CHECK(fork.threads.at(1).name == "row-reader");
  REQUIRE(fork.held.size() == 1);
  CHECK(fork.held[0].owner == 102);
  REQUIRE(fork.held[0].acquired);
  CHECK(fork.held[0].acquired->function == "read_row_group");
  CHECK(functions(fork.stack) == Names{"worker", "main"});  // the hazard refers to it
}

TEST_CASE("a lock of the forking thread has its id of before the fork", "[judge][forks]") {
  Story story;
  record::HeldLock lock = Story::held();
  lock.self = 1;
  lock.owner = 200;
  story.forked(1, 200, {lock});
  const HeldReport held = story.judged().forks.at(0).held.at(0);
  CHECK(held.self);
  CHECK(held.owner == 101);
}

TEST_CASE("run facts pass into the report", "[judge][forks]") {
  Story story;
  RunFacts facts;
  facts.command = {"reader", "--all"};
  facts.signal = 6;
  facts.timed_out = true;
  const Report report = story.judged(facts);
  CHECK(report.command == facts.command);
  CHECK(report.signal == 6);
  CHECK_FALSE(report.exit);
  CHECK(report.timed_out);
}
