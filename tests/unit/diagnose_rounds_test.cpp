// The rule of endless rounds: a wait with a limit, or a nap, that begins again and again at one place,
// in a copy that lost threads. Each case that speaks has the healthy ones beside it.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kWorker = 101;

/// Looked at for three seconds: asleep at one place in 70 looks, woken up so often.
Rounds rounds(std::int32_t tid, std::uint64_t turns) {
  Rounds seen;
  seen.tid = tid;
  seen.asleep = 70;
  seen.turns = turns;
  seen.ran_ns = turns * 20'000;
  return seen;
}

Story over_time(Story story, std::uint64_t turns) {
  story.evidence.rounds_ms = 3000;
  for (const ThreadEvidence& thread : story.evidence.process.threads)
    story.evidence.rounds.push_back(rounds(thread.tid, thread.settled ? 0 : turns));
  return story.lasted();
}

/// A library's function waits in rounds for the library's worker, which was not copied.
Story flushes() {
  Story story;
  story.parent(Thread(kWorker, "pool-0").idles());
  story.child(Thread(kChild)
                  .waits(condition().for_a_time())
                  .from({"pool_flush@pool", "main@app"})
                  .unsettled());
  return story;
}

/// A lock of the program's own that naps between its looks.
Story naps(const char* function) {
  Story story;
  story.parent(Thread(kWorker, "writer").in_call("read").from({"write_out@app"}));
  story.child(Thread(kChild).in_call("clock_nanosleep").from({function, "main@app"}).unsettled());
  for (Mapping& mapping : story.evidence.process.mappings)
    if (mapping.shared) mapping.path = "/tmp/session/records";
  return story;
}

PythonFrame python(const char* function, const char* file) {
  PythonFrame frame;
  frame.function = function;
  frame.file = file;
  return frame;
}

const std::string kPython = "/usr/lib/libpython3.11.so.1.0";

Story python_waits(std::vector<PythonFrame> frames) {
  Story story;
  const std::string interpreter = "PyThread_acquire_lock_timed@" + kPython;
  story.parent(Thread(kWorker, "worker").waits(semaphore().at(kOtherLock)).from({interpreter.c_str()}));
  story.child(
      Thread(kChild).waits(semaphore().for_a_time()).from({interpreter.c_str()}).unsettled());
  story.evidence.process.threads[0].python = std::move(frames);
  story.evidence.ancestors[0].threads[1].python = {python("get", "/usr/lib/python3.11/queue.py"),
                                                   python("serve", "/srv/pool.py")};
  story.evidence.process.caught_signals = 1u << 1;  // SIGINT
  return story;
}

void require_silent(const Story& story) {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  CHECK((diagnosis.answer == Answer::kWaiting || diagnosis.answer == Answer::kRunning));
  CHECK_FALSE(diagnosis.finding);
}

}  // namespace

TEST_CASE("a library that waits in rounds for its lost threads probably waits without end",
          "[diagnose][rounds]") {
  const Diagnosis diagnosis = over_time(flushes(), 5).judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->evidence == "rounds");
  CHECK(diagnosis.finding->certainty == "probable");
  CHECK(says(diagnosis, "again and again"));
  CHECK(says(diagnosis, "not certain"));
}

TEST_CASE("one look at a wait with a limit says nothing", "[diagnose][rounds]") {
  require_silent(flushes());
}

TEST_CASE("what changes between rounds, or is done in them, speaks against it",
          "[diagnose][rounds]") {
  Story story = over_time(flushes(), 2);  // too few
  require_silent(story);
  story = over_time(flushes(), 5);
  SECTION("the word") { story.evidence.rounds[0].same_word = false; }
  SECTION("the place") { story.evidence.rounds[0].elsewhere = 1; }
  SECTION("work") { story.evidence.rounds[0].ran_ns = 5 * 2'000'000; }
  SECTION("mostly awake") { story.evidence.rounds[0].awake = 40; }
  SECTION("descriptors are used") { story.evidence.read_or_wrote = true; }
  SECTION("it waits for children") { story.evidence.has_children = true; }
  SECTION("no thread was lost") { story.evidence.ancestors[0].threads.resize(1); }
  SECTION("it is no copy") { story.not_forked(); }
  require_silent(story);
}

TEST_CASE("threads of the child's own that feed the wait end it", "[diagnose][rounds]") {
  Story story = flushes();
  story.beside(Thread(kChild + 1, "pool-0").in_call("clock_nanosleep").from({"feed@pool"}));
  require_silent(over_time(story, 5));
  story = flushes();
  story.beside(Thread(kChild + 1, "own").runs());
  require_silent(over_time(story, 5));
  story = flushes();
  story.beside(Thread(kChild + 1, "own").in_call("read").from({"serve@app"}).short_stack());
  require_silent(over_time(story, 5));
}

TEST_CASE("the program's own waits in rounds need a lost thread that knows of them",
          "[diagnose][rounds]") {
  Story story;
  story.parent(Thread(kWorker, "writer").in_call("read").from({"write_out@app"}));
  story.child(Thread(kChild).waits(condition().for_a_time()).from({"tick@app"}).unsettled());
  require_silent(over_time(story, 5));
  story.evidence.wait_links.push_back({kChild, kWorker, WaitLink::How::kStack});
  CHECK(over_time(story, 5).judge().answer == Answer::kProbable);
  // A handler may be what the rounds wait for.
  story.evidence.process.caught_signals = 1u << 14;  // SIGTERM
  require_silent(over_time(story, 5));
}

TEST_CASE("a lock that naps between its looks is probably orphaned", "[diagnose][rounds]") {
  const Diagnosis diagnosis = over_time(naps("spin_lock_slow@app"), 60).judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(says(diagnosis, "spin_lock_slow"));
}

TEST_CASE("naps that are for something else are left alone", "[diagnose][rounds]") {
  require_silent(over_time(naps("poll_status@app"), 60));
  require_silent(over_time(naps("wait_for_lock_file@app"), 60));
  require_silent(over_time(naps("clock_tick@app"), 60));
  require_silent(over_time(naps("spin_lock_slow@app"), 10));  // seldom: no lock
  Story story = naps("spin_lock_slow@app");
  story.evidence.process.caught_signals = 1u << 14;
  require_silent(over_time(story, 60));
}

TEST_CASE("a lock in memory that others may write is theirs to release", "[diagnose][rounds]") {
  Story story = naps("spin_lock_slow@app");
  for (Mapping& mapping : story.evidence.process.mappings)
    if (mapping.shared) mapping.path = "/dev/shm/pool";
  require_silent(over_time(story, 60));
}

TEST_CASE("a queue that a lost thread would fill is asked in rounds", "[diagnose][rounds]") {
  const Story story = over_time(python_waits({python("wait", "/usr/lib/python3.11/threading.py"),
                                              python("get", "/usr/lib/python3.11/queue.py"),
                                              python("collect", "/srv/pool.py")}),
                                6);
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kProbable);
}

TEST_CASE("a sleep that may be told to stop is no wait for a lost thread", "[diagnose][rounds]") {
  const auto waits_for_event = [](const char* file) {
    return over_time(python_waits({python("wait", "/usr/lib/python3.11/threading.py"),
                                   python("wait", "/usr/lib/python3.11/threading.py"),
                                   python("heartbeat", file)}),
                     6);
  };
  // Nor is it known to end where it is of a lost thread's own file.
  const Diagnosis diagnosis = waits_for_event("/srv/pool.py").judge();
  CHECK(diagnosis.answer == Answer::kUnknown);
  CHECK_FALSE(diagnosis.finding);
  CHECK(says(diagnosis, "programs that wait for a signal"));
  require_silent(waits_for_event("/srv/other.py"));
  Story story = waits_for_event("/srv/pool.py");
  story.evidence.process.caught_signals = 1u << 14;  // SIGTERM
  require_silent(story);
  // Another file's: its queue is not known to the thread that was lost.
  require_silent(over_time(python_waits({python("wait", "/usr/lib/python3.11/threading.py"),
                                         python("get", "/usr/lib/python3.11/queue.py"),
                                         python("collect", "/srv/other.py")}),
                           6));
}
