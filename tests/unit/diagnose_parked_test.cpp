// Who waits for ever on purpose, beside threads that were not copied, is told from who waits for
// them.
#include <signal.h>
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101;

/// A child whose own code waits; a thread of the parent ran code of the same program.
Story waiting(const Word& word) {
  Story story;
  story.parent(Thread(kWorker, "worker")
                   .waits(condition().at(kOtherLock))
                   .from({"work@app"})
                   .starts_in("work@app"));
  story.child(Thread(kChild).waits(word).from({"main@app"}));
  return story;
}

Story& knows(Story& story, WaitLink::How how) {
  story.evidence.wait_links = {{kChild, kWorker, how}};
  return story;
}

}  // namespace

TEST_CASE("the program's own code may park: only a thread that knows of the wait proves it",
          "[diagnose][parked]") {
  for (const Word& event : {condition(), semaphore(), unknown_word(), rust_condvar()}) {
    Story story = waiting(event);
    INFO(event.functions.back());
    const Diagnosis parked = story.judge();
    CHECK(parked.answer == Answer::kProbable);
    CHECK(says(parked, "on purpose"));
    for (const auto how : {WaitLink::How::kStack, WaitLink::How::kHeap, WaitLink::How::kCode}) {
      const Diagnosis known = knows(story, how).judge();
      REQUIRE(known.answer == Answer::kDeadlock);
      CHECK(known.finding->kind == "lost-thread");
      CHECK(says(known, how == WaitLink::How::kCode
                            ? "Thread 101 (worker) runs code that refers to what it waits on."
                            : "Thread 101 (worker) knows of what it waits on"));
      CHECK_FALSE(says(known, "on purpose"));
    }
  }
}

TEST_CASE("of a lock an idle thread is not named for the code it is in", "[diagnose][parked]") {
  Word lock = unknown_word();
  lock.words = {1};
  lock.expected = 1;
  lock.functions = {"syscall@libc", "parking_lot_core::parking_lot::park@app",
                    "<parking_lot::raw_mutex::RawMutex>::lock_slow@app"};
  Story story = waiting(lock);
  knows(story, WaitLink::How::kCode);
  REQUIRE(story.judge().finding);
  CHECK(story.judge().finding->kind == "orphaned-lock");
  CHECK_FALSE(says(story.judge(), "refers to"));
  CHECK(says(knows(story, WaitLink::How::kStack).judge(), "(worker) knows of what it waits on"));
  Story busy;
  busy.parent(Thread(kWorker, "worker").in_call("read").from({"work@app"}).starts_in("work@app"));
  busy.child(Thread(kChild).waits(lock).from({"main@app"}));
  CHECK(says(knows(busy, WaitLink::How::kCode).judge(), "refers to what it waits on"));
}

TEST_CASE("an at-fork handler does not wait for ever on purpose", "[diagnose][parked]") {
  Story story = waiting(condition());
  Frame frame;
  frame.module = "/lib/x86_64-linux-gnu/libc.so.6";
  frame.function = "__run_postfork_handlers";
  story.evidence.process.threads.front().stack.push_back(frame);
  CHECK(story.judge().answer == Answer::kDeadlock);
}

TEST_CASE("that a thread knows of another thread's wait proves nothing", "[diagnose][parked]") {
  Story story = waiting(condition());
  story.evidence.wait_links = {{kChild + 1, kWorker, WaitLink::How::kStack}};
  CHECK(story.judge().answer == Answer::kProbable);
}

TEST_CASE("who parks until a signal comes is not judged", "[diagnose][parked]") {
  Story story = waiting(unknown_word());
  story.evidence.process.caught_signals = std::uint64_t{1} << (SIGTERM - 1);
  CHECK(story.judge().answer == Answer::kUnknown);
  CHECK(knows(story, WaitLink::How::kStack).judge().answer == Answer::kProbable);
}

TEST_CASE("a lock, a join and the threads of a library need no such sign", "[diagnose][parked]") {
  CHECK(waiting(mutex(kWorker)).judge().answer == Answer::kDeadlock);
  CHECK(waiting(join(kWorker)).judge().answer == Answer::kDeadlock);
  Story story;
  story.parent(Thread(kWorker, "pool-0").idles().starts_in("work@pool"));
  story.child(Thread(kChild).waits(unknown_word()).from({"submit@pool", "main@app"}));
  CHECK(story.judge().answer == Answer::kDeadlock);
}

TEST_CASE("a pool that is linked into the program is a pool", "[diagnose][parked]") {
  Story story;
  story.parent(Thread(kWorker, "pool-0")
                   .waits(rust_condvar().at(kOtherLock))
                   .from({"rayon_core::registry::main_loop@app"})
                   .starts_in("rayon_core::registry::main_loop@app"));
  story.child(
      Thread(kChild).waits(rust_condvar()).from({"rayon_core::latch::wait@app", "main@app"}));
  CHECK(story.judge().answer == Answer::kDeadlock);
}

TEST_CASE("a library that only waits for its caller is like the caller", "[diagnose][parked]") {
  const char* const glib = "g_cond_wait@/usr/lib/x86_64-linux-gnu/libglib-2.0.so.0";
  Story story;
  story.parent(
      Thread(kWorker, "worker").waits(condition().at(kOtherLock)).from({glib, "work@app"}));
  story.child(Thread(kChild).waits(condition()).from({glib, "main@app"}));
  CHECK(story.judge().answer == Answer::kProbable);
  CHECK(knows(story, WaitLink::How::kHeap).judge().answer == Answer::kDeadlock);
}
