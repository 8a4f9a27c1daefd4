// The rule of the closed process: everybody sleeps until another one of them wakes it.
#include <signal.h>
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101;

/// A child that waits for something the parent's pool would have done.
Story with_pool(Abi abi = Abi::kX86_64) {
  Story story(abi);
  story.parent(Thread(kWorker, "pool-0").idles().starts_in("work@pool"));
  return story;
}

std::uint64_t caught(int signal) { return std::uint64_t{1} << (signal - 1); }

}  // namespace

TEST_CASE("one thread that waits for an event waits for a thread that was not copied",
          "[diagnose][closed]") {
  const Word events[] = {condition(), semaphore(), unknown_word(), rust_condvar(), join(kWorker)};
  for (Abi abi : {Abi::kX86_64, Abi::kGeneric64}) {
    for (const Word& event : events) {
      Story story = with_pool(abi);
      story.child(Thread(kChild).waits(event).from({"submit@pool", "main@app"}));
      const Diagnosis diagnosis = story.judge();
      INFO(event.functions.back());
      REQUIRE(diagnosis.answer == Answer::kDeadlock);
      REQUIRE(diagnosis.finding);
      CHECK(diagnosis.finding->kind == "lost-thread");
      CHECK(diagnosis.finding->severity == "deadlock");
      CHECK(diagnosis.finding->evidence == "nobody-left");
      REQUIRE(diagnosis.finding->lost.size() == 1);
      CHECK(diagnosis.finding->lost[0].name == "pool-0");
      CHECK(diagnosis.finding->lost[0].start->function == "work");
      CHECK(says(diagnosis, "thread 101 (pool-0)"));
    }
  }
}

TEST_CASE("a lock of libc's own has no owner word, and is named by the function that waits",
          "[diagnose][closed]") {
  for (Abi abi : {Abi::kX86_64, Abi::kGeneric64}) {
    Story story = with_pool(abi);
    story.child(Thread(kChild).waits(libc_lock()).from({"stamp@app", "main@app"}));
    const Diagnosis diagnosis = story.judge();
    REQUIRE(diagnosis.answer == Answer::kDeadlock);
    CHECK(diagnosis.finding->kind == "libc-lock");
    CHECK(diagnosis.finding->evidence == "nobody-left");
    CHECK(diagnosis.finding->waiter.call == "localtime_r");
    CHECK(says(diagnosis, "localtime_r"));
    CHECK(says(diagnosis, "libc"));
  }
}

TEST_CASE("an ordinary mutex in libc's data is libc's lock", "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(mutex(kWorker).at(kLibcLockWord)).from({"main@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "libc-lock");
}

TEST_CASE("handlers of a thread's own errors, and libc's, wake nobody", "[diagnose][closed]") {
  for (int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGSYS, 32, 33}) {
    INFO(signal);
    Story story = with_pool();
    story.child(Thread(kChild).waits(unknown_word()).from({"submit@pool"}));
    story.evidence.process.caught_signals = caught(signal);
    CHECK(story.judge().answer == Answer::kDeadlock);
  }
}

TEST_CASE("any other handler might end the wait for an event", "[diagnose][closed]") {
  for (int signal : {SIGINT, SIGUSR1, SIGTERM, SIGCHLD, SIGRTMAX}) {
    INFO(signal);
    Story story = with_pool();
    story.child(Thread(kChild).waits(unknown_word()).from({"submit@pool"}));
    story.evidence.process.caught_signals = caught(SIGSEGV) | caught(signal);
    const Diagnosis diagnosis = story.judge();
    REQUIRE(diagnosis.answer == Answer::kProbable);
    CHECK(diagnosis.finding->severity == "hazard");
    CHECK(diagnosis.finding->certainty == "probable");
    CHECK(says(diagnosis, "signal handler"));
  }
}

TEST_CASE("a lock that nobody here holds stays locked, whatever a handler does",
          "[diagnose][closed]") {
  for (const Word& lock : {mutex(kWorker), libc_lock(), rwlock_written(kWorker)}) {
    INFO(lock.functions.back());
    Story story = with_pool();
    story.child(Thread(kChild).waits(lock).from({"main@app"}));
    story.evidence.process.caught_signals = caught(SIGUSR1);
    CHECK(story.judge().answer == Answer::kDeadlock);
  }
}

TEST_CASE("CPython's handlers only make a note, which a library's wait never reads",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(
      Thread(kChild).waits(condition()).from({"submit@pool", "call@/usr/lib/libpython3.so"}));
  story.evidence.process.caught_signals = caught(SIGINT) | caught(SIGUSR1);
  CHECK(story.judge().answer == Answer::kProbable);
  ModuleRecord python;
  python.path = "/usr/lib/libpython3.so";
  story.evidence.process.modules.push_back(python);
  CHECK(story.judge().answer == Answer::kDeadlock);
}

TEST_CASE("an event that no lost thread is seen to cause is probable at most",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"wait@/opt/app/lib/libother.so"}));
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->severity == "hazard");
  story.evidence.process.caught_signals = caught(SIGUSR1);
  CHECK(story.judge().answer == Answer::kUnknown);
}

TEST_CASE("io_uring, and memory that might be shared, leave it probable", "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  story.evidence.process.io_uring = true;
  Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kProbable);
  CHECK(says(diagnosis, "io_uring"));
  story.evidence.process.io_uring = false;
  story.evidence.process.shares_memory.reset();
  diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kProbable);
  CHECK(says(diagnosis, "kcmp"));
}

TEST_CASE("a semaphore may wait for a signal handler, which is a legal program",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(semaphore()).from({"main@app"}));
  story.evidence.process.caught_signals = caught(SIGUSR1);
  CHECK(story.judge().answer == Answer::kUnknown);
  story.not_forked();
  const Answer unforked = story.judge().answer;
  CHECK((unforked == Answer::kUnknown || unforked == Answer::kWaiting));
}

TEST_CASE("what is not known of the process leaves it open", "[diagnose][closed]") {
  auto waiting = [] {
    Story story = with_pool();
    story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
    return story;
  };
  REQUIRE(waiting().judge().answer == Answer::kDeadlock);

  Story story = waiting();
  story.evidence.process.shares_memory = true;
  CHECK(story.judge().answer == Answer::kWaiting);

  story = waiting();
  story.evidence.process.all_threads = false;
  CHECK(story.judge().answer == Answer::kWaiting);

  story = waiting();
  story.evidence.process.threads[0].settled = false;
  CHECK(story.judge().answer == Answer::kWaiting);

  story = waiting();
  story.evidence.process.forked.reset();
  CHECK(story.judge().answer != Answer::kDeadlock);
}

TEST_CASE("one thread that has a time limit, or waits for the outside, keeps it open",
          "[diagnose][closed]") {
  for (int which = 0; which < 6; ++which) {
    INFO(which);
    Thread other(kChild + 1, "own");
    if (which == 0) other.waits(condition().at(kOtherLock).for_a_time());
    if (which == 1) other.in_call("epoll_pwait");
    if (which == 2) other.in_call("clock_nanosleep");
    if (which == 3) other.in_call("page fault");
    if (which == 4) other.runs();
    if (which == 5) other.unreadable();
    Story story = with_pool();
    story.child(Thread(kChild).waits(condition()).from({"wait_own@app"})).beside(other);
    const Diagnosis diagnosis = story.judge();
    CHECK(diagnosis.answer == (which == 4 ? Answer::kRunning : Answer::kWaiting));
    CHECK_FALSE(diagnosis.finding);
  }
}

TEST_CASE("several threads, none of which can go on, in a module whose threads are lost",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"submit@pool", "main@app"}));
  story.beside(Thread(kChild + 1, "own").waits(unknown_word().at(kOtherLock)).from({"own@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->waiter.tid == kChild);
  CHECK(says(diagnosis, "All of its 2 threads"));
}

TEST_CASE("several threads that cannot go on, and nothing ties that to those lost",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"wait@/opt/app/lib/libother.so"}));
  story.beside(Thread(kChild + 1, "own").waits(unknown_word().at(kOtherLock)).from({"own@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->certainty == "probable");
}

TEST_CASE("a first thread that has ended is not the one that waits", "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).in_call("exit").state('Z'));
  story.beside(Thread(kChild + 1, "own").waits(condition()).from({"submit@pool"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->waiter.tid == kChild + 1);
}

TEST_CASE("two of the child's threads that wait for each other are stuck by no fork",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(mutex(kChild + 1)).from({"a_then_b@app"}));
  story.beside(
      Thread(kChild + 1, "own").waits(mutex(kChild).at(kOtherLock)).from({"b_then_a@app"}));
  Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK_FALSE(diagnosis.finding);
  CHECK(says(diagnosis, "no fork"));

  // A bystander that idles does not make it a matter of the fork.
  story.parent(Thread(kWorker + 1, "app-worker").waits(condition()).from({"serve@app"}));
  story.beside(
      Thread(kChild + 2, "idle").waits(condition().at(kLock + 0x1000)).from({"serve@app"}));
  diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a lock here is held by a thread that waits for those lost: that one is told of",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(mutex(kChild + 1)).from({"report@app"}));
  story.beside(Thread(kChild + 1, "own").waits(condition().at(kOtherLock)).from({"submit@pool"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->waiter.tid == kChild + 1);
}

TEST_CASE("without a fork, or without lost threads, it is stuck", "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  story.not_forked();
  Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK_FALSE(diagnosis.finding);

  Story alone;  // the parent has one thread
  alone.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  diagnosis = alone.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK_FALSE(diagnosis.finding);
  CHECK(diagnosis.forked_by == kParent);
}

TEST_CASE("threads the parent created later were not lost", "[diagnose][closed]") {
  Story story;
  story.parent(Thread(kWorker, "late").idles().started(kForkTime + 100));
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK(diagnosis.lost.empty());
}

TEST_CASE("the parent has ended: the child's memory tells whether it left threads behind",
          "[diagnose][closed]") {
  Story story = with_pool();
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  story.parent_gone();
  // A libc whose lists are not known: nothing can be said.
  Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK_FALSE(diagnosis.finding);
  // It is known that there were none.
  story.evidence.memory_knows_threads = true;
  CHECK(story.judge().answer == Answer::kStuck);

  story.remembers("work@pool");
  diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(says(diagnosis, "work"));
}

TEST_CASE("threads that have ended since in the parent are remembered by the child",
          "[diagnose][closed]") {
  Story story;  // the parent has one thread now
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  CHECK(story.judge().answer == Answer::kStuck);
  story.remembers("work@pool");
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "lost-thread");
}

TEST_CASE("that memory remembers nobody says nothing once the stacks were used again",
          "[diagnose][closed]") {
  Story story;
  story.parent_gone().evidence.memory_knows_threads = true;
  story.child(Thread(kChild).waits(condition()).from({"pool_wait@pool"}));
  REQUIRE(story.judge().answer == Answer::kStuck);
  story.evidence.stacks_reused = true;
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK_FALSE(diagnosis.finding);
  CHECK(says(diagnosis, "which threads lived when it was forked is not known"));
  // With handlers, as of a core file, too: nothing is known that ends the wait.
  story.evidence.process.caught_signals.reset();
  CHECK(story.judge().answer == Answer::kUnknown);
}
