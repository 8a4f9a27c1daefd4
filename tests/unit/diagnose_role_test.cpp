// The rule of the missing role: the child waits in a module whose threads were not copied, and
// nobody here does what they did. Others live, so it is never more than probable.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test;

namespace {

constexpr std::int32_t kWorker = 101;

/// As Polars: the caller waits on a latch for the lost workers of one pool, and a new runtime, which
/// the child started, serves.
Story with_new_runtime() {
  Story story;
  story.parent(Thread(kWorker, "pool-0").idles().starts_in("work@pool"));
  story.parent(Thread(kWorker + 1, "pool-1").idles().starts_in("work@pool"));
  story.child(Thread(kChild).waits(rust_condvar()).from({"install@pool", "main@app"}));
  story.beside(Thread(kChild + 1, "async-0").in_call("epoll_pwait").starts_in("reactor@pool"));
  return story.lasted();
}

}  // namespace

TEST_CASE("workers that nobody replaces are probably what the child waits for",
          "[diagnose][role]") {
  const Diagnosis diagnosis = with_new_runtime().judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->severity == "hazard");
  CHECK(diagnosis.finding->certainty == "probable");
  CHECK(diagnosis.finding->evidence == "role-gone");
  CHECK(diagnosis.finding->waiter.tid == kChild);
  CHECK(diagnosis.finding->lost.size() == 2);
  CHECK(says(diagnosis, "pool-0"));
  CHECK(says(diagnosis, "libpool.so.1"));
  CHECK(says(diagnosis, "not certain"));
}

TEST_CASE("it must have lasted", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.evidence.lasted = false;
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a successor by name and start routine does the work", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "pool-0").in_call("read").starts_in("work@pool"));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a successor whose start routine cannot be read is believed by its name",
          "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "pool-7").in_call("read"));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("the same name with another start routine is somebody else", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "pool-0").in_call("read").starts_in("watch@app"));
  CHECK(story.judge().answer == Answer::kProbable);
}

TEST_CASE("one lost thread without a successor is enough", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.parent(Thread(kWorker + 2, "signaller").in_call("read").starts_in("signal@pool"));
  story.beside(Thread(kChild + 2, "pool-0").in_call("read").starts_in("work@pool"));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(says(diagnosis, "signaller"));
}

TEST_CASE("as long as somebody runs, it may be for this", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").runs());
  CHECK(story.judge().answer == Answer::kRunning);
  story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").in_call("read").unsettled());
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("lost threads of another module do not explain it", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(Thread(kChild).waits(condition()).from({"wait@/opt/app/lib/libother.so"}));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("without a stack nothing ties the wait to a module", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.evidence.process.threads[0].stack.clear();
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("the lost threads' code is known by their stacks or their start routines",
          "[diagnose][role]") {
  Story story;
  story.parent(Thread(kWorker, "a").in_call("read").from({"work@pool"}));  // by its stack
  story.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  story.beside(Thread(kChild + 1, "own").in_call("read")).lasted();
  CHECK(story.judge().answer == Answer::kProbable);

  Story other;
  other.parent(Thread(kWorker, "a").runs().starts_in("work@pool"));  // no stack: it runs
  other.child(Thread(kChild).waits(condition()).from({"submit@pool"}));
  other.beside(Thread(kChild + 1, "own").in_call("read")).lasted();
  CHECK(other.judge().answer == Answer::kProbable);
}

TEST_CASE("only the thread that came out of the fork can miss a role", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(Thread(kChild).in_call("epoll_pwait"));
  story.beside(Thread(kChild + 2, "own").waits(condition()).from({"submit@pool"}));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a lock with an owner here, a limit or shared memory is another matter",
          "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(Thread(kChild).waits(mutex(kChild + 1)).from({"install@pool"}));
  CHECK(story.judge().answer == Answer::kWaiting);

  story = with_new_runtime();
  story.child(Thread(kChild).waits(rust_condvar().for_a_time()).from({"install@pool"}));
  CHECK(story.judge().answer == Answer::kWaiting);

  story = with_new_runtime();
  story.evidence.process.shares_memory = true;
  CHECK(story.judge().answer == Answer::kWaiting);

  story = with_new_runtime();
  story.not_forked();
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("an idle server with a pool of its own is healthy", "[diagnose][role]") {
  // A worker of a prefork server: parent and child start the same pool, each its own.
  Story story;
  story.parent(Thread(kWorker, "pool-0").idles().starts_in("work@pool"));
  story.child(Thread(kChild).in_call("epoll_pwait").from({"serve@app", "main@app"}));
  story.beside(Thread(kChild + 1, "pool-0").idles().starts_in("work@pool")).lasted();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK_FALSE(diagnosis.finding);
}
