// Waits whose end is not known to be able to come, in a copy that lost threads: for descriptors of the
// process's own, and for events that no living thread knows. Each has its healthy twin.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101, kOther = kChild + 1;

Story& fed(Story& story, std::int32_t tid, bool inside, bool outside, bool inherited = true) {
  WaitedDescriptors waited;
  waited.tid = tid;
  waited.inside = inside;
  waited.outside = outside;
  waited.inherited = inherited;
  story.evidence.waited_descriptors.push_back(waited);
  return story;
}

Story polls(const char* function, const char* worker = "pool_worker@pool") {
  Story story;
  story.parent(Thread(kWorker, "pool-0").in_call("read").from({worker}).starts_in(worker));
  story.child(Thread(kChild).in_call("epoll_pwait").from({function, "main@app"}));
  return story;
}

void require(const Story& story, Answer answer, const char* words = "") {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  CHECK(diagnosis.answer == answer);
  CHECK(bool(diagnosis.finding) == (answer == Answer::kProbable));
  CHECK(says(diagnosis, words));
}

/// The first thread waits for a job, another one for events.
Story job(const char* other_start = "poller@app") {
  Story story;
  story.parent(Thread(kWorker, "pool-0")
                   .waits(condition().at(kOtherLock))
                   .from({"pool_worker@app"})
                   .starts_in("pool_worker@app"));
  story.child(Thread(kChild).waits(condition()).from({"wait_for_job@app", "main@app"}));
  story.beside(
      Thread(kOther, "other").in_call("epoll_pwait").from({other_start}).starts_in(other_start));
  return story.lasted();
}

Story& unserved(Story& story, bool known_to_lost) {
  story.evidence.unserved_waits = {kChild};
  if (known_to_lost) story.evidence.wait_links = {{kChild, kWorker, WaitLink::How::kCode}};
  return story;
}

}  // namespace

TEST_CASE("unserved: an eventfd of before the fork was for threads that were not copied",
          "[diagnose][unserved]") {
  Story story = polls("wait_for_job@app");
  require(story, Answer::kWaiting);  // nothing is known of its descriptors
  require(fed(story, kChild, true, false), Answer::kUnknown, "threads of the process itself");
  SECTION("somebody else may write, too") {
    Story shared = polls("wait_for_job@app");
    require(fed(shared, kChild, true, true), Answer::kWaiting);
  }
  SECTION("it was made after the fork") {
    Story own = polls("wait_for_job@app");
    require(fed(own, kChild, true, false, false), Answer::kWaiting);
  }
  SECTION("no thread was lost") {
    story.evidence.ancestors[0].threads.resize(1);
    require(story, Answer::kWaiting);
  }
  SECTION("a thread here may write") {
    story.beside(Thread(kOther, "own").in_call("clock_nanosleep"));
    require(story, Answer::kWaiting);
  }
}

TEST_CASE("unserved: a library may miss its threads among those who write", "[diagnose][unserved]") {
  Story story = polls("pool_receive@pool");
  require(fed(story, kChild, true, true), Answer::kUnknown, "in libpool.so.1");
  Story other = polls("pool_receive@pool", "worker@app");
  require(fed(other, kChild, true, true), Answer::kWaiting);
  Story outside = polls("pool_receive@pool");
  require(fed(outside, kChild, false, true), Answer::kWaiting);
}

TEST_CASE("unserved: a core file does not tell what descriptors lead to", "[diagnose][unserved]") {
  Story story = polls("wait_for_job@app");
  story.evidence.ancestors.clear();
  story.evidence.process.from_core = true;
  story.evidence.parent_unreadable = true;
  story.remembers("pool_worker@app");
  require(story, Answer::kUnknown, "does not tell what its descriptors lead to");
  story.evidence.remembered_threads.clear();
  require(story, Answer::kWaiting);
}

TEST_CASE("unserved: an event that a lost thread knew, and none of those that live",
          "[diagnose][unserved]") {
  Story story = job();
  require(story, Answer::kWaiting);
  require(unserved(story, false), Answer::kWaiting);  // it may be what an idle thread of its own ends
  require(unserved(story, true), Answer::kProbable, "no other thread here is seen to know");
  CHECK(story.judge().finding->kind == "lost-thread");
  CHECK(story.judge().finding->evidence == "unserved");
  SECTION("handlers of signals may cause it") {
    story.evidence.process.caught_signals = 1u << 9;  // SIGUSR1
    require(story, Answer::kUnknown);
  }
  SECTION("it has not lasted") {
    story.evidence.lasted = false;
    require(story, Answer::kWaiting);
  }
}

TEST_CASE("unserved: a thread here that began where a lost one did does its work",
          "[diagnose][unserved]") {
  Story story = job("pool_worker@app");
  require(unserved(story, true), Answer::kWaiting);
}

TEST_CASE("unserved: where all traces of lost threads may be gone, it is not said that it waits",
          "[diagnose][unserved]") {
  Story story = job();
  story.parent_gone();
  story.evidence.memory_knows_threads = true;
  require(unserved(story, false), Answer::kWaiting);  // none was lost: libc would know
  story.evidence.stacks_reused = true;
  require(story, Answer::kUnknown, "is not known");
}
