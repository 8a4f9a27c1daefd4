// Locks that do not say who holds them, beside threads of the child that are alive, and what the
// functions of libraries make of raw words.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kHolder = 101, kServer = kChild + 1;

Word glib_mutex() {
  Word word = unknown_word();
  word.words = {2};
  word.expected = 2;
  word.functions = {"syscall@libc", "g_mutex_lock@/usr/lib/libglib-2.0.so.0"};
  return word;
}

WaitLink link(std::int32_t waiter, std::int32_t who) {
  return {waiter, who, WaitLink::How::kCode};
}

/// The first thread of the child waits for GLib's mutex, another one serves.
Story beside_a_server() {
  Story story;
  story.parent(Thread(kHolder, "cache").in_call("read").from({"fill_cache@app"}));
  story.child(Thread(kChild).waits(glib_mutex()).from({"lookup@app", "main@app"}));
  story.beside(Thread(kServer, "server").in_call("epoll_pwait").from({"serve@app"}));
  story.evidence.wait_links = {link(kChild, kHolder)};
  story.evidence.living_links.emplace();
  return story.lasted();
}

void require_silent(const Story& story, Answer answer = Answer::kWaiting) {
  const Diagnosis diagnosis = story.judge();
  INFO(diagnosis.sentence);
  CHECK(diagnosis.answer == answer);
  CHECK_FALSE(diagnosis.finding);
}

}  // namespace

TEST_CASE("a lock that no thread here is seen to hold is probably a lost thread's",
          "[diagnose][inherited-lock]") {
  const Diagnosis diagnosis = beside_a_server().judge();
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kProbable);
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->certainty == "probable");
  CHECK(diagnosis.finding->evidence == "nobody-holds");
  CHECK(diagnosis.finding->lock.type == "GMutex");
  CHECK(says(diagnosis, "thread 101 (cache)"));
  CHECK(says(diagnosis, "could release it"));
}

TEST_CASE("so it is when another thread than the first one waits", "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.child(Thread(kChild).in_call("epoll_pwait").from({"serve@app", "main@app"}));
  story.beside(Thread(kServer + 1, "worker").waits(glib_mutex()).from({"lookup@app"}));
  story.evidence.wait_links = {link(kServer + 1, kHolder)};
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->waiter.tid == kServer + 1);
}

TEST_CASE("a lock that a living thread may hold is waited for normally",
          "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.evidence.living_links = {link(kChild, kServer)};
  require_silent(story);
  // Of another wait that says nothing.
  story.evidence.living_links = {link(kServer, kChild)};
  CHECK(story.judge().answer == Answer::kProbable);
}

TEST_CASE("a lock that no lost thread knows of is the child's own affair",
          "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.evidence.wait_links.clear();
  require_silent(story);
}

TEST_CASE("where the lost cannot be asked, that nobody here knows of a variable will do",
          "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.parent_gone();
  story.evidence.ancestors.clear();
  story.evidence.wait_links.clear();
  story.evidence.stacks_reused = true;
  CHECK(story.judge().answer == Answer::kProbable);
  SECTION("their stacks are as they were") { story.evidence.stacks_reused = false; }
  SECTION("a thread here may hold it") { story.evidence.living_links = {link(kChild, kServer)}; }
  SECTION("the lock is no variable") {
    story.child(Thread(kChild).waits(glib_mutex().at(0x555600000040)).from({"lookup@app"}));
  }
  CHECK_FALSE(story.judge().finding);
}

TEST_CASE("what was not looked at may hold it", "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  SECTION("links of living threads were not looked for") { story.evidence.living_links.reset(); }
  SECTION("the wait has not lasted") { story.evidence.lasted = false; }
  SECTION("threads come and go") { story.evidence.process.all_threads = false; }
  SECTION("a thread cannot be read") { story.beside(Thread(kServer + 1).unreadable()); }
  require_silent(story);
}

TEST_CASE("a thread that runs may hold it", "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.beside(Thread(kServer + 1).runs());
  require_silent(story, Answer::kRunning);
}

TEST_CASE("an event is no lock", "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  Word event = glib_mutex();
  event.functions = {"syscall@libc", "g_cond_wait@/usr/lib/libglib-2.0.so.0"};
  story.child(Thread(kChild).waits(event).from({"take_job@app", "main@app"}));
  require_silent(story);
  Word semaphore_lock = semaphore();  // anybody may post it
  semaphore_lock.functions.push_back("PyThread_acquire_lock_timed@/usr/bin/python3.11");
  story.child(Thread(kChild).waits(semaphore_lock).from({"main@app"}));
  require_silent(story);
}

TEST_CASE("a process that is no copy, or had no other thread, inherited none",
          "[diagnose][inherited-lock]") {
  Story story = beside_a_server();
  story.not_forked();
  require_silent(story);
  Story alone = beside_a_server();
  alone.evidence.ancestors.front().threads.resize(1);
  require_silent(alone);
}

TEST_CASE("with everybody asleep a library's lock is proven, its event is not",
          "[diagnose][inherited-lock]") {
  Story story;
  story.parent(Thread(kHolder, "cache").in_call("read").from({"fill_cache@app"}));
  story.child(Thread(kChild).waits(glib_mutex()).from({"lookup@app", "main@app"}));
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->lock.type == "GMutex");
  Word event = glib_mutex();
  event.functions = {"syscall@libc", "g_cond_wait@/usr/lib/libglib-2.0.so.0"};
  story.child(Thread(kChild).waits(event).from({"take_job@app", "main@app"}));
  diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->lock.type == "GCond");
}

TEST_CASE("Python's lock is called a lock and never proven by that", "[diagnose][inherited-lock]") {
  Story story;
  story.parent(Thread(kHolder, "cache").in_call("read").from({"fill_cache@app"}));
  Word word = semaphore();
  word.functions.push_back("PyThread_acquire_lock_timed@/usr/bin/python3.11");
  story.child(Thread(kChild).waits(word).from({"main@/usr/bin/python3.11"}));
  ModuleRecord python;
  python.path = "/usr/bin/python3.11";
  story.evidence.process.modules.push_back(python);
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->lock.type == "Python lock");
}
