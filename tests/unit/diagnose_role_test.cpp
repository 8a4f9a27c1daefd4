// The rule of the missing role: the child waits in a part of the program whose threads were not
// copied, and no thread here runs that part's code. Others live, so it is never more than probable.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101;

Thread worker(std::int32_t tid, const std::string& name) {
  return Thread(tid, name)
      .waits(condition().at(kOtherLock))
      .from({"rayon_core::sleep::Sleep::sleep@pool", "start_thread@libc"});
}

Thread reactor(std::int32_t tid) {
  return Thread(tid, "async-0")
      .in_call("epoll_pwait")
      .from({"tokio::runtime::io::Driver::turn@pool", "start_thread@libc"});
}

Thread caller(const Word& word) {
  return Thread(kChild).waits(word).from({"rayon_core::registry::in_worker_cold@pool", "main@app"});
}

/// As Polars: the caller waits on a latch for the lost workers of one pool, and a new runtime,
/// which the child started, serves.
Story with_new_runtime() {
  Story story;
  story.parent(worker(kWorker, "pool-0")).parent(worker(kWorker + 1, "pool-1"));
  story.child(caller(rust_condvar())).beside(reactor(kChild + 1));
  return story.lasted();
}

void require_healthy(const Story& story, Answer answer = Answer::kWaiting) {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  CHECK(diagnosis.answer == answer);
  CHECK_FALSE(diagnosis.finding);
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
  require_healthy(story);
}

TEST_CASE("a thread here that runs the same part does the work", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(worker(kChild + 2, "renamed"));
  require_healthy(story);
}

TEST_CASE("a thread whose stack is not known to its end may be such a one", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").in_call("read").from({"serve@app"}).short_stack());
  require_healthy(story);
  story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").in_call("read").from({"serve@app"}));
  CHECK(story.judge().answer == Answer::kProbable);
}

TEST_CASE("a helper of libc's calls whoever asked it to", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "aio").in_call("read").from({"start_thread@libc"}));
  require_healthy(story);
}

TEST_CASE("as long as somebody runs, it may be for this", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").runs());
  require_healthy(story, Answer::kRunning);
  story = with_new_runtime();
  story.beside(Thread(kChild + 2, "own").in_call("read").from({"serve@app"}).unsettled());
  require_healthy(story);
}

TEST_CASE("lost threads of another part of the same library do not explain it",
          "[diagnose][role]") {
  Story story;
  story.parent(reactor(kWorker));
  story.child(caller(rust_condvar()));
  story.beside(Thread(kChild + 1, "own").in_call("read").from({"serve@app"})).lasted();
  require_healthy(story);
}

TEST_CASE("nor do those of another library", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(Thread(kChild).waits(condition()).from({"wait@/opt/app/lib/libother.so"}));
  require_healthy(story);
}

TEST_CASE("without a stack nothing ties the wait to a part of the program", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.evidence.process.threads[0].stack.clear();
  require_healthy(story);
}

TEST_CASE("only the thread that came out of the fork can miss a role", "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(Thread(kChild).in_call("epoll_pwait").from({"main@app"}));
  story.beside(Thread(kChild + 2, "own")
                   .waits(rust_condvar())
                   .from({"rayon_core::registry::in_worker_cold@pool"}));
  require_healthy(story);
}

TEST_CASE("a lock with an owner here, a limit, shared memory or no fork is another matter",
          "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(caller(mutex(kChild + 1)));
  require_healthy(story);

  story = with_new_runtime();
  story.child(caller(rust_condvar().for_a_time()));
  require_healthy(story);

  story = with_new_runtime();
  story.evidence.process.shares_memory = true;
  require_healthy(story);

  story = with_new_runtime();
  story.not_forked();
  require_healthy(story);
}

TEST_CASE("a semaphore that a signal handler may post is not missed by anybody",
          "[diagnose][role]") {
  Story story = with_new_runtime();
  story.child(caller(semaphore()));
  CHECK(story.judge().answer == Answer::kProbable);
  story.evidence.process.caught_signals = 1u << (10 - 1);  // SIGUSR1
  require_healthy(story);
}

TEST_CASE("an idle server with a pool of its own is healthy", "[diagnose][role]") {
  Story story;
  story.parent(worker(kWorker, "pool-0"));
  story.child(Thread(kChild).in_call("epoll_pwait").from({"serve@app", "main@app"}));
  story.beside(worker(kChild + 1, "pool-0")).lasted();
  require_healthy(story);
}

namespace {

PythonFrame python(const char* function, const char* file) {
  PythonFrame frame;
  frame.function = function;
  frame.file = file;
  return frame;
}

/// The child waits for a future; `serves`: what the thread of the parent's executor is in.
Story waits_for_future(PythonFrame serves) {
  Story story;
  story.parent(Thread(kWorker, "ThreadPoolExec").waits(semaphore().at(kOtherLock)));
  story.child(
      Thread(kChild).waits(semaphore()).from({"PyThread_acquire_lock_timed@/usr/lib/libpython3.11.so.1.0"}));
  story.beside(Thread(kChild + 1, "blas").in_call("read").from({"worker@/usr/lib/libopenblas.so"}));
  story.evidence.ancestors[0].threads[1].python = {std::move(serves)};
  story.evidence.process.threads[0].python = {
      python("wait", "/usr/lib/python3.11/threading.py"),
      python("result", "/usr/lib/python3.11/concurrent/futures/_base.py"),
      python("main", "/srv/main.py")};
  return story.lasted();
}

}  // namespace

TEST_CASE("a future whose executor was not copied is never done", "[diagnose][role]") {
  for (const PythonFrame& serves :
       {python("_worker", "/usr/lib/python3.11/concurrent/futures/thread.py"),
        python("run_forever", "/usr/lib/python3.11/asyncio/base_events.py")}) {
    const Diagnosis diagnosis = waits_for_future(serves).judge();
    INFO(diagnosis.sentence);
    REQUIRE(diagnosis.answer == Answer::kProbable);
    CHECK(diagnosis.finding->kind == "lost-thread");
  }
}

TEST_CASE("a thread here that runs Python may complete the future", "[diagnose][role]") {
  const PythonFrame worker = python("_worker", "/usr/lib/python3.11/concurrent/futures/thread.py");
  Story story = waits_for_future(worker);
  story.evidence.process.threads[1].python = {worker};
  require_healthy(story);
  story = waits_for_future(worker);
  story.evidence.process.threads[1].stack_complete = false;
  require_healthy(story);
  // Nobody was lost that did so.
  require_healthy(waits_for_future(python("log", "/srv/main.py")));
}
