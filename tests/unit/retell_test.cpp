// What was proved of one child, told of another one.
#include "detector/verdict/outside/retell.hpp"

#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

/// The same story of another child: everything but the PID is alike.
Diagnosis told_of(std::int32_t pid, const std::string& name) {
  Story story;
  story.parent(Thread(101, "reader").idles());
  story.child(Thread(pid, name).own_tid(pid).waits(mutex(101)).from({"main@app"}));
  story.evidence.process.pid = story.evidence.process.own_pid = pid;
  return story.judge();
}

}  // namespace

TEST_CASE("retell: the diagnosis of a child, told of its twin, is the twin's own", "[retell]") {
  // 200 is also how some other numbers begin.
  for (const std::int32_t twin : {201, 2001, 31}) {
    const Diagnosis own = told_of(twin, "twin");
    const Diagnosis told = retold(told_of(200, "table"), {200, "table"}, {twin, "twin"});
    REQUIRE(own.answer == Answer::kDeadlock);
    CHECK(told.pid == own.pid);
    CHECK(told.sentence == own.sentence);
    CHECK(told.reasons == own.reasons);
    REQUIRE(told.threads.size() == 1);
    CHECK(told.threads.front().tid == own.threads.front().tid);
    CHECK(told.threads.front().name == own.threads.front().name);
    REQUIRE(told.finding);
    CHECK(told.finding->process == own.finding->process);
    CHECK(told.finding->waiter.tid == own.finding->waiter.tid);
    CHECK(told.finding->verdict == own.finding->verdict);
    CHECK(told.finding->explanation == own.finding->explanation);
    CHECK(told.finding->fingerprint == own.finding->fingerprint);
  }
}

TEST_CASE("retell: numbers that only begin like the PID stay as they are", "[retell]") {
  Finding finding;
  finding.verdict = "thread 20 waits, thread 200 holds, process 20 hangs, process 200 not";
  const Finding told = retold(finding, {20, ""}, {7, ""});
  CHECK(told.verdict == "thread 7 waits, thread 200 holds, process 7 hangs, process 200 not");
}
