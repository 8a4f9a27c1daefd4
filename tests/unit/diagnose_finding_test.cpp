// The finding that a diagnosis makes: lock, holder, lost threads, words, the cure per runtime.
#include <catch2/catch.hpp>
#include <set>

#include "detector/verdict/libc_calls.hpp"
#include "detector/verdict/outside/outside_words.hpp"
#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kReader = 101;

Story orphaned() {
  Story story;
  story.parent(
      Thread(kReader, "reader").in_call("read").from({"fill@app"}).starts_in("read_rows@app"));
  story.child(Thread(kChild).waits(mutex(kReader)).from({"open_table@app", "main@app"}));
  return story;
}

Story lost_pool() {
  Story story;
  for (std::int32_t i = 0; i < 6; ++i)
    story.parent(Thread(kReader + i, "pool-" + std::to_string(i)).idles());
  story.child(Thread(kChild).waits(condition()).from({"submit@pool", "main@app"}));
  return story;
}

void runs_with(Story& story, const std::string& exe, const std::string& module = "") {
  story.evidence.process.exe = exe;
  if (module.empty()) return;
  ModuleRecord record;
  record.path = module;
  story.evidence.process.modules.push_back(record);
}

std::string cure_of(const Story& story) {
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.finding);
  return diagnosis.finding->cure;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("the finding says which lock, who has it, who waits and in which process",
          "[diagnose][finding]") {
  const Diagnosis diagnosis = orphaned().judge();
  REQUIRE(diagnosis.finding);
  const Finding& finding = *diagnosis.finding;
  CHECK(finding.process == kChild);
  CHECK(finding.program == "table");
  CHECK(finding.lock.address == kLock);
  CHECK(finding.lock.symbol == "file_lock");
  CHECK(finding.lock.module == kApp);
  CHECK(finding.lock.type == "mutex");
  CHECK_FALSE(finding.lock.shared);
  CHECK(finding.holder.tid == kReader);
  REQUIRE(finding.holder.start);
  CHECK(finding.holder.start->function == "read_rows");
  CHECK(finding.waiter.tid == kChild);
  CHECK(finding.waiter.call == "pthread_mutex_lock");
  REQUIRE(finding.waiter.stack.size() == 4);
  CHECK(finding.waiter.stack[2].function == "open_table");
  CHECK(has(finding.verdict, "file_lock"));
  CHECK(has(finding.verdict, "reader"));
  REQUIRE(finding.lost.size() == 1);
  CHECK(finding.lost[0].tid == kReader);
  CHECK(finding.lost[0].name == "reader");
  CHECK(has(finding.lost[0].state, "reads"));
  CHECK_FALSE(finding.cure.empty());
  for (const std::string& reason : diagnosis.reasons) CHECK(has(finding.explanation, reason));
}

TEST_CASE("the sentence is a predicate and names PIDs, threads and the lock",
          "[diagnose][finding]") {
  const Diagnosis diagnosis = orphaned().judge();
  CHECK(diagnosis.sentence.starts_with("is deadlocked by a fork"));
  CHECK(has(diagnosis.sentence, "thread 200"));
  CHECK(has(diagnosis.sentence, "mutex"));
  CHECK(has(diagnosis.sentence, "file_lock"));
  CHECK(has(diagnosis.sentence, "thread 101 (reader)"));
  REQUIRE(diagnosis.threads.size() == 1);
  CHECK(diagnosis.threads[0].for_ever);
  CHECK(has(diagnosis.threads[0].does, "file_lock"));
}

TEST_CASE("many lost threads are counted, all of them listed in the finding",
          "[diagnose][finding]") {
  const Diagnosis diagnosis = lost_pool().judge();
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->lost.size() == 6);
  CHECK(diagnosis.lost.size() == 6);
  CHECK(says(diagnosis, "pool-0"));
  CHECK_FALSE(has(diagnosis.sentence, "pool-5"));
  CHECK(says(diagnosis, "others"));
}

TEST_CASE("Python frames of waiter and holder are passed on", "[diagnose][finding]") {
  Story story = orphaned();
  story.evidence.process.threads[0].python = {{"load", "/srv/app/load.py", 12}};
  story.evidence.ancestors[0].threads[1].python = {{"scan", "/srv/app/scan.py", 7}};
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.finding);
  REQUIRE(diagnosis.finding->waiter.python.size() == 1);
  CHECK(diagnosis.finding->waiter.python[0].function == "load");
  REQUIRE(diagnosis.finding->holder.python.size() == 1);
  CHECK(diagnosis.finding->holder.python[0].line == 7);
  CHECK(diagnosis.threads[0].python.size() == 1);
}

TEST_CASE("parking_lot's mutex is an orphaned lock, and what waits for an event is not",
          "[diagnose][finding]") {
  Word parked = unknown_word();
  parked.words = {1};
  parked.expected = 1;
  const char* const park = "parking_lot_core::parking_lot::park@pool";
  const auto kind_in = [&](const char* above) {
    parked.functions = {"syscall@libc", park, above};
    Story story = lost_pool();
    story.child(Thread(kChild).waits(parked).from({"submit@pool", "main@app"}));
    const Diagnosis diagnosis = story.judge();
    REQUIRE(diagnosis.finding);
    return diagnosis.finding->kind;
  };
  CHECK(kind_in("<parking_lot::raw_mutex::RawMutex>::lock_slow@pool") == "orphaned-lock");
  CHECK(kind_in("<parking_lot::raw_rwlock::RawRwLock>::lock_shared_slow@pool") == "orphaned-lock");
  CHECK(kind_in("<parking_lot::condvar::Condvar>::wait_until_internal@pool") == "lost-thread");
  // A type in a function's name says nothing.
  CHECK(kind_in("pool::wait<parking_lot::raw_mutex::RawMutex>@pool") == "lost-thread");
}

TEST_CASE("a wait in Go's runtime has a cure of its own, but in an interpreter",
          "[diagnose][finding]") {
  Word park = unknown_word();
  park.functions = {"runtime.futex@/opt/app/lib/libwork.so",
                    "runtime.notesleep@/opt/app/lib/libwork.so"};
  Story go = lost_pool();
  go.child(Thread(kChild).waits(park).from({"Work@/opt/app/lib/libwork.so", "main@app"}));
  CHECK(has(cure_of(go), "load the Go library in the child only"));
  runs_with(go, kApp, "/usr/lib/libpython3.11.so");  // loaded, with no part in the wait
  CHECK(has(cure_of(go), "load the Go library in the child only"));
  Story python = go;
  runs_with(python, "/usr/bin/python3.11");
  CHECK(has(cure_of(python), "get_context(\"spawn\")"));
  park.functions = {"runtime.futex@app", "wait_for_worker@app"};
  Story other = lost_pool();
  other.child(Thread(kChild).waits(park).from({"main@app"}));
  CHECK_FALSE(has(cure_of(other), "Go"));
}

TEST_CASE("the cure is in the words of the program's own language", "[diagnose][finding]") {
  Story python = lost_pool(), ruby = lost_pool(), node = lost_pool(), openmp = lost_pool();
  runs_with(python, "/usr/bin/python3.11");
  runs_with(ruby, "/usr/bin/ruby3.1");
  runs_with(node, "/usr/bin/node");
  runs_with(openmp, kApp);
  openmp.child(Thread(kChild).waits(unknown_word()).from(
      {"GOMP_parallel@/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0", "submit@pool", "main@app"}));
  openmp.parent(Thread(kReader + 9, "omp").waits(unknown_word()).from(
      {"gomp_team_barrier_wait@/usr/lib/x86_64-linux-gnu/libgomp.so.1.0.0"}));
  CHECK(has(cure_of(python), "get_context(\"spawn\")"));
  CHECK(has(cure_of(ruby), "Process.spawn"));
  CHECK(has(cure_of(node), "child_process"));
  CHECK(has(cure_of(openmp), "OMP"));
  CHECK_FALSE(has(cure_of(lost_pool()), "get_context"));
  std::set<std::string> different{cure_of(python), cure_of(ruby), cure_of(node), cure_of(openmp),
                                  cure_of(lost_pool())};
  CHECK(different.size() == 5);
}

TEST_CASE("a call of libc has the same cure from outside as from within", "[diagnose][finding]") {
  Word word = libc_lock();
  word.functions = {"__lll_lock_wait_private@libc", "__tz_convert@libc", "localtime_r@libc"};
  Story story;
  story.parent(Thread(kReader, "clock").runs().from({"localtime_r@libc", "tick@app"}));
  story.child(Thread(kChild).waits(word).from({"stamp@app", "main@app"}));
  CHECK(cure_of(story) == libc_call_cure(record::UnsafeCall::localtime_r));
}

TEST_CASE("a mutex that compares its owner is set up anew, whoever saw it", "[diagnose][finding]") {
  Story story;
  story.parent(Thread(kReader, "reader").in_call("read").from({"fill@app"}));
  story.child(Thread(kChild).waits(mutex(kReader, 1)).from({"open_table@app", "main@app"}));
  CHECK(has(cure_of(story), "pthread_mutex_init()"));
  CHECK_FALSE(has(cure_of(orphaned()), "pthread_mutex_init()"));
}

TEST_CASE("orphaned locks and lost threads have cures of their own", "[diagnose][finding]") {
  const std::string orphan = cure_of(orphaned()), lost = cure_of(lost_pool());
  CHECK(orphan != lost);
  CHECK(has(orphan, "pthread_atfork"));
}

TEST_CASE("a finding is made of deadlocks and of probable ones only", "[diagnose][finding]") {
  Story story = orphaned();
  CHECK(story.judge().finding);
  story.child(Thread(kChild).in_call("read"));
  CHECK_FALSE(story.judge().finding);
}

TEST_CASE("every answer, owner, family and confidence has its own word", "[diagnose][finding]") {
  std::set<std::string> words;
  for (Answer answer : {Answer::kDeadlock, Answer::kProbable, Answer::kStuck, Answer::kWaiting,
                        Answer::kRunning, Answer::kEnded, Answer::kUnknown})
    CHECK(words.insert(answer_word(answer)).second);
  words.clear();
  using Where = LockOwner::Where;
  for (Where where :
       {Where::kUnknown, Where::kHere, Where::kAncestor, Where::kGone, Where::kItself})
    CHECK(words.insert(where_word(where)).second);
  words.clear();
  for (int family = 0; family <= int(LockFamily::kAtomicWait); ++family)
    CHECK(words.insert(family_word(LockFamily(family))).second);
  words.clear();
  for (Confidence confidence :
       {Confidence::kNone, Confidence::kPossible, Confidence::kLikely, Confidence::kCertain})
    CHECK(words.insert(confidence_word(confidence)).second);
}

TEST_CASE("what the bytes merely allow is not told as if it were known", "[diagnose][finding]") {
  Story story = lost_pool();
  Word word = unknown_word();
  word.words = {2};  // a mutex of many makes
  word.expected = 2;
  story.child(Thread(kChild).waits(word).from({"submit@pool", "main@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "lost-thread");
  CHECK(diagnosis.finding->lock.type == "futex word");
  CHECK_FALSE(says(diagnosis, "Mutex"));
}
