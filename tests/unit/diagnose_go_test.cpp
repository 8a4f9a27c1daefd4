// Go's runtime in a copy: it waits for threads of its own, which are not there.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101;
constexpr std::uint64_t kGoHandlers = 0x7fc1'feff;

Word go_word(std::initializer_list<const char*> functions) {
  Word word = unknown_word();
  word.functions = functions;
  return word;
}

Word parked() {
  return go_word({"runtime.futex@app", "runtime.futexsleep@app", "runtime.notesleep@app",
                  "runtime.mPark@app", "runtime.stopm@app"});
}

Story go(const Word& word) {
  Story story;
  story.parent(Thread(kWorker, "server").waits(parked().at(kOtherLock)).from({"runtime.mstart@app"}));
  story.child(Thread(kChild).waits(word).from({"runtime.schedule@app"}));
  story.evidence.process.caught_signals = kGoHandlers;
  return story;
}

}  // namespace

TEST_CASE("a copy of a Go program that parks for its lost threads is probably deadlocked",
          "[diagnose][go]") {
  const Diagnosis diagnosis = go(parked()).judge();
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "lost-thread");
}

TEST_CASE("a timer of Go's ends a wait with a limit, unless it begins again and again",
          "[diagnose][go]") {
  Story story = go(parked().for_a_time());
  CHECK(story.judge().answer == Answer::kWaiting);
  Rounds rounds;
  rounds.tid = kChild;
  rounds.asleep = 50;
  rounds.turns = 9;
  story.evidence.rounds = {rounds};
  CHECK(story.judge().answer == Answer::kProbable);
}

TEST_CASE("a lock of Go's runtime whose holder was not copied", "[diagnose][go]") {
  const Diagnosis diagnosis =
      go(go_word({"runtime.futex@app", "runtime.futexsleep@app", "runtime.lock2@app"})).judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "lost-thread");
}

TEST_CASE("a healthy Go program parks all the time", "[diagnose][go]") {
  Story story = go(parked());
  story.not_forked();
  CHECK_FALSE(story.judge().finding);
  // A runtime that the copy started itself has its watcher.
  story = go(parked());
  story.beside(Thread(kChild + 1, "server")
                   .in_call("clock_nanosleep")
                   .from({"runtime.usleep@app", "runtime.sysmon@app"}));
  CHECK_FALSE(story.judge().finding);
  // Threads of C alone were lost: Go began after the fork.
  story = go(parked());
  story.evidence.ancestors[0].threads.resize(1);
  story.parent(Thread(kWorker, "c").in_call("read").from({"serve@app"}));
  CHECK_FALSE(story.judge().finding);
  // Threads that the copy has started serve its runtime.
  story = go(parked());
  story.beside(Thread(kChild + 1, "server").in_call("epoll_pwait").from({"runtime.netpoll@app"}));
  CHECK_FALSE(story.judge().finding);
  // It waits for the network in Go's name: the kernel ends that.
  story = go(parked());
  story.child(Thread(kChild).in_call("epoll_pwait").from({"runtime.netpoll@app"}));
  CHECK_FALSE(story.judge().finding);
}
