// Processes there is nothing to say of, and those of which nothing can be said.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

Story hung() {
  Story story;
  story.parent(Thread(101, "reader").in_call("read"));
  story.child(Thread(kChild).waits(mutex(101)).from({"main@app"}));
  return story;
}

}  // namespace

TEST_CASE("a zombie has ended, and its parent is named", "[diagnose]") {
  Story story;
  story.evidence.process.state = 'Z';
  story.evidence.process.ended = true;
  story.evidence.process.threads.clear();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kEnded);
  CHECK(says(diagnosis, "100"));
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a process lives on after its first thread has ended", "[diagnose]") {
  Story story = hung();
  story.evidence.process.state = 'Z';
  story.evidence.process.threads[0].state = 'Z';
  story.beside(Thread(kChild + 1, "server").in_call("epoll_pwait"));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a thread of the kernel runs no program", "[diagnose]") {
  Story story;
  story.not_forked();
  story.evidence.process.kernel_thread = true;
  story.evidence.process.forked.reset();
  story.evidence.process.threads.clear();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK(says(diagnosis, "kernel"));
}

TEST_CASE("a 32-bit program's locks are not judged", "[diagnose]") {
  Story story = hung();
  story.evidence.process.abi = Abi::k32Bit;
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK(says(diagnosis, "32-bit"));
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a process that a debugger or a signal stopped waits for being let go on", "[diagnose]") {
  for (char state : {'t', 'T'}) {
    Story story = hung();
    story.evidence.process.threads[0].state = state;
    story.evidence.process.traced = state == 't';
    const Diagnosis diagnosis = story.judge();
    CHECK(diagnosis.answer == Answer::kWaiting);
    CHECK_FALSE(diagnosis.finding);
    CHECK(says(diagnosis, state == 't' ? "debugger" : "signal"));
  }
}

TEST_CASE("a debugger that only watches changes nothing", "[diagnose]") {
  Story story = hung();
  story.evidence.process.traced = true;
  CHECK(story.judge().answer == Answer::kDeadlock);
}

TEST_CASE("what could not be read is said, with what helps", "[diagnose]") {
  Story story;
  story.child(Thread(kChild).unreadable());
  story.evidence.process.missing.push_back({"what its threads wait for cannot be read",
                                            "the process belongs to another user",
                                            "sudo forkscope attach 200"});
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK(says(diagnosis, "another user"));
  REQUIRE(diagnosis.missing.size() == 1);
  CHECK(diagnosis.missing[0].cure == "sudo forkscope attach 200");
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a process without any thread to be seen is not judged", "[diagnose]") {
  Story story;
  story.evidence.process.threads.clear();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK_FALSE(diagnosis.sentence.empty());
}

TEST_CASE("memory that could not be read leaves the one thread that nobody can wake",
          "[diagnose]") {
  Story story = hung();
  story.evidence.process.memory.clear();
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->evidence == "nobody-left");
  CHECK(diagnosis.finding->holder.tid == 0);
  // With others about, nothing is known.
  story.beside(Thread(kChild + 1, "server").in_call("epoll_pwait")).lasted();
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a child that runs, and one that waits for the outside", "[diagnose]") {
  Story story = hung();
  story.child(Thread(kChild).runs());
  Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kRunning);
  CHECK_FALSE(diagnosis.finding);
  for (const char* call : {"wait4", "epoll_pwait", "read", "clock_nanosleep", "page fault"}) {
    INFO(call);
    story.child(Thread(kChild).in_call(call));
    diagnosis = story.judge();
    CHECK(diagnosis.answer == Answer::kWaiting);
    CHECK_FALSE(diagnosis.finding);
    CHECK_FALSE(diagnosis.sentence.empty());
  }
}

TEST_CASE("an idle pool that was never forked waits normally", "[diagnose]") {
  Story story;
  story.not_forked();
  story.child(Thread(kChild).in_call("epoll_pwait"));
  for (std::int32_t tid : {kChild + 1, kChild + 2})
    story.beside(Thread(tid, "pool-" + std::to_string(tid)).idles());
  const Diagnosis diagnosis = story.lasted().judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK(diagnosis.reasons.empty());
  REQUIRE(diagnosis.threads.size() == 3);
  CHECK(diagnosis.threads[1].for_ever);
  CHECK(diagnosis.threads[1].does.find("condition variable") != std::string::npos);
}

TEST_CASE("facts of the process are passed on", "[diagnose]") {
  const Diagnosis diagnosis = hung().judge();
  CHECK(diagnosis.pid == kChild);
  CHECK(diagnosis.parent == kParent);
  CHECK(diagnosis.forked_by == kParent);
  CHECK(diagnosis.forked == true);
  CHECK(diagnosis.program == "table");
  CHECK(diagnosis.command == std::vector<std::string>{kApp, "--import"});
  CHECK(diagnosis.age_seconds == Approx(60.0));
  Story story = hung();
  story.evidence.now = 0;
  CHECK(story.judge().age_seconds == 0);
  story.evidence.process.exe.clear();
  story.evidence.process.command = {"/elsewhere/renamed", "x"};
  CHECK(story.judge().program == "renamed");
  story.evidence.process.command.clear();
  story.evidence.process.name = "comm";
  CHECK(story.judge().program == "comm");
}
