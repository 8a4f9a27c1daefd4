// Core files: one instant of a thread that waits for a limited time, naps or spins, in a copy that
// lost threads. Each case that speaks has the healthy ones beside it.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

/// As a core file has it: no parent, no handlers, no flags of mappings.
Story core_of(const Thread& first, const char* lost_start = "pool_worker@pool") {
  Story story;
  story.child(first);
  ProcessEvidence& process = story.evidence.process;
  story.evidence.ancestors.clear();
  story.evidence.parent_unreadable = true;
  story.evidence.memory_knows_threads = true;
  process.from_core = true;
  process.caught_signals.reset();
  for (Mapping& mapping : process.mappings) mapping.shared = false;
  std::erase_if(process.mappings,
                [](const Mapping& mapping) { return mapping.start == kSharedWord; });
  return story.remembers(lost_start).lasted();
}

Story& loops(Story& story, bool known_to_lost, bool elsewhere = false) {
  WaitingLoop loop;
  loop.tid = kChild;
  loop.function = frame("wait_for_job@app");
  loop.known_to_lost = known_to_lost;
  loop.looks_elsewhere = elsewhere;
  story.evidence.waiting_loops = {loop};
  return story;
}

void require_probable(const Story& story, const char* kind, const char* evidence = "instant") {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == kind);
  CHECK(diagnosis.finding->evidence == evidence);
  CHECK(says(diagnosis, "a core file shows one instant"));
}

void require(const Story& story, Answer answer) {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  CHECK(diagnosis.answer == answer);
  CHECK_FALSE(diagnosis.finding);
}

Thread flushes() {
  return Thread(kChild).waits(condition().for_a_time()).from({"pool_flush@pool", "main@app"});
}

Thread naps(const char* function) {
  return Thread(kChild).in_call("clock_nanosleep").from({function, "main@app"});
}

Story core_that_spins(const char* function, const char* lost_start = "pool_worker@pool") {
  Story story = core_of(Thread(kChild).runs(), lost_start);
  story.evidence.process.threads[0].stack = {frame(function), frame("main@app")};
  return story;
}

PythonFrame python(const char* function, const char* file) {
  PythonFrame frame;
  frame.function = function;
  frame.file = file;
  return frame;
}

Story python_waits(std::vector<PythonFrame> frames) {
  const std::string interpreter = "PyThread_acquire_lock_timed@/usr/lib/libpython3.11.so.1.0";
  Story story =
      core_of(Thread(kChild).waits(semaphore().for_a_time()).from({interpreter.c_str()}));
  story.evidence.process.threads[0].python = std::move(frames);
  return story;
}

}  // namespace

TEST_CASE("instant: a library waits for its threads, which are gone", "[diagnose][instant]") {
  require_probable(core_of(flushes()), "lost-thread");
  // Threads of another part say nothing of it.
  require(core_of(flushes(), "other@/opt/lib/libother.so"), Answer::kUnknown);
  Story story = core_of(flushes());
  SECTION("one of its threads lives") {
    story.beside(Thread(kChild + 1, "pool-0").idles());
    require(story, Answer::kWaiting);
  }
  SECTION("somebody else is about") {
    story.beside(Thread(kChild + 1, "own").in_call("read"));
    require(story, Answer::kWaiting);
  }
  SECTION("no thread was lost") {
    story.evidence.remembered_threads.clear();
    require(story, Answer::kWaiting);
  }
  SECTION("it is no core file") {
    story.evidence.process.from_core = false;
    story.evidence.process.caught_signals = 0;
    require(story, Answer::kWaiting);
  }
}

TEST_CASE("instant: the program's own wait with a limit cannot be told from a worker that beats",
          "[diagnose][instant]") {
  const Thread waits =
      Thread(kChild).waits(condition().for_a_time()).from({"wait_for_job@app", "main@app"});
  Story story = core_of(waits, "worker@app");
  require(story, Answer::kUnknown);
  CHECK(says(story.judge(), "one instant"));
  // Unless its code does nothing else, and lost threads' code is of the same words.
  require_probable(loops(story, true), "lost-thread");
  require(loops(story, false), Answer::kUnknown);
}

TEST_CASE("instant: locks that nap, by the name and the code of their functions",
          "[diagnose][instant]") {
  Story story = core_of(naps("table_lock_delay@app"), "worker@app");
  require(story, Answer::kUnknown);  // it may be a lock file that it asks for
  require_probable(loops(story, false), "orphaned-lock");
  require(core_of(naps("sleep_on@app"), "worker@app"), Answer::kWaiting);
  require(core_of(naps("wait_for_clock@app"), "worker@app"), Answer::kWaiting);
  Story other = core_of(naps("wait_for_flag@app"), "worker@app");
  require(loops(other, false), Answer::kUnknown);  // a signal handler may set it
  require_probable(loops(other, true), "lost-thread");
}

TEST_CASE("instant: a lock that is known by its functions needs no more", "[diagnose][instant]") {
  const Thread naps = Thread(kChild)
                          .in_call("clock_nanosleep")
                          .from({"core.thread.osthread.Thread.sleep@/usr/lib/libgphobos.so.3",
                                 "core.internal.spinlock.SpinLock.lock@/usr/lib/libgphobos.so.3",
                                 "main@app"});
  require_probable(core_of(naps), "orphaned-lock");
  const Thread sleeps = Thread(kChild)
                            .in_call("clock_nanosleep")
                            .from({"core.thread.osthread.Thread.sleep@/usr/lib/libgphobos.so.3",
                                   "main@app"});
  require(core_of(sleeps), Answer::kWaiting);
}

TEST_CASE("instant: who spins works, unless its code only waits", "[diagnose][instant]") {
  Story story = core_that_spins("wait_for_job@app", "worker@app");
  require(story, Answer::kRunning);
  require(loops(story, false), Answer::kUnknown);
  require_probable(loops(story, true), "lost-thread", "spins");
  Story library = core_that_spins("pool_wait@pool");
  require(library, Answer::kRunning);
  require_probable(loops(library, false), "lost-thread", "spins");
  Story allocator = core_that_spins("pool_allocate@pool", "worker@app");
  require_probable(loops(allocator, false), "orphaned-lock", "spins");
}

TEST_CASE("instant: memory that another process may write is no ground", "[diagnose][instant]") {
  Story story = core_that_spins("pool_allocate@pool", "worker@app");
  Mapping file;
  file.start = 0x7f0000600000;
  file.end = file.start + 0x1000;
  file.readable = file.writable = true;
  file.path = "/var/lib/table/ring";
  story.evidence.process.mappings.insert(story.evidence.process.mappings.end() - 2, file);
  require(loops(story, false, true), Answer::kUnknown);
  require_probable(loops(story, false, false), "orphaned-lock", "spins");
}

TEST_CASE("instant: the instruction `pause` alone speaks where a library lost its threads",
          "[diagnose][instant]") {
  Story story = core_that_spins("pool_wait@pool");
  loops(story, false, true).evidence.waiting_loops[0].only_pause = true;
  require_probable(story, "lost-thread", "spins");
  Story other = core_that_spins("pool_wait@pool", "worker@app");
  loops(other, false, true).evidence.waiting_loops[0].only_pause = true;
  require(other, Answer::kUnknown);
}

TEST_CASE("instant: in Python a queue has nobody left to fill it, an event may be a way to sleep",
          "[diagnose][instant]") {
  const char* const threading = "/usr/lib/python3.11/threading.py";
  require_probable(python_waits({python("Condition.wait", threading),
                                 python("Queue.get", "/usr/lib/python3.11/queue.py"),
                                 python("next_row", "/srv/rows.py")}),
                   "lost-thread");
  require_probable(python_waits({python("refresh", "/srv/rows.py")}), "orphaned-lock");
  require(python_waits({python("Condition.wait", threading), python("Event.wait", threading),
                        python("serve", "/srv/rows.py")}),
          Answer::kUnknown);
  require(python_waits({python("Condition.wait", threading), python("beat", "/srv/rows.py")}),
          Answer::kUnknown);
  Story story = python_waits({python("refresh", "/srv/rows.py")});
  story.beside(Thread(kChild + 1, "own").in_call("read"));
  require(story, Answer::kWaiting);
}
