// Python's locks beside threads of the child that are alive: judged by the Python code they are in.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kHolder = 101, kServer = kChild + 1;
constexpr const char* kPython = "/usr/bin/python3.11";
constexpr std::uint64_t kElsewhere = 0x555600000000;

PythonFrame python(const std::string& function, std::vector<std::string> names = {},
                   const std::string& file = "/srv/app/cache.py") {
  PythonFrame result;
  result.function = function;
  result.file = file;
  result.names = std::move(names);
  return result;
}

Word python_lock() {
  Word word = semaphore();
  word.functions.push_back("PyThread_acquire_lock_timed@/usr/bin/python3.11");
  return word;
}

/// The first thread of the child waits in Cache.get(), another one serves; a lost one is in Cache.fill().
struct PythonStory {
  PythonStory() {
    story.parent(Thread(kHolder, "cache").in_call("read").from({"main@/usr/bin/python3.11"}));
    story.child(Thread(kChild).waits(python_lock()).from({"main@/usr/bin/python3.11"}));
    story.beside(Thread(kServer, "server").in_call("epoll_pwait").from({"main@/usr/bin/python3.11"}));
    ModuleRecord interpreter;
    interpreter.path = kPython;
    story.evidence.process.modules.push_back(interpreter);
    waiter() = {python("Cache.get", {"_lock", "_rows"}), python("main", {"fork", "get"})};
    waiter()[1].may_fork = true;
    server() = {python("serve", {"select"}), python("Thread.run", {"_target"}, "/usr/lib/threading.py")};
    holder() = {python("Cache.fill", {"_lock", "load"})};
    holder()[0].locks = waiter()[0].locks = {word()};
    story.lasted();
  }

  std::vector<PythonFrame>& waiter() { return story.evidence.process.threads[0].python; }
  std::vector<PythonFrame>& server() { return story.evidence.process.threads[1].python; }
  std::vector<PythonFrame>& holder() {
    for (ThreadEvidence& thread : story.evidence.ancestors.front().threads)
      if (thread.tid == kHolder) return thread.python;
    FAIL("no holder");
    return server();
  }
  std::uint64_t word() const {
    return story.evidence.process.threads[0].call->arguments[0];
  }
  bool found() const { return story.judge().finding.has_value(); }

  Story story;
};

}  // namespace

TEST_CASE("a Python lock that a lost thread is in a `with` of is probably that one's",
          "[diagnose][python-lock]") {
  const Diagnosis diagnosis = PythonStory().story.judge();
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->evidence == "nobody-holds");
  CHECK(diagnosis.finding->lock.type == "Python lock");
}

TEST_CASE("so it is where it is in the function that waits here, or another thread waits",
          "[diagnose][python-lock]") {
  PythonStory same;
  same.holder() = {python("Cache.get", {"_lock", "_rows"})};
  CHECK(same.found());
  PythonStory second;
  second.waiter().swap(second.server());
  auto& threads = second.story.evidence.process.threads;
  std::swap(threads[0].stack, threads[1].stack);
  std::swap(threads[0].call, threads[1].call);
  const std::uint64_t word = threads[1].call->arguments[0];
  second.holder()[0].locks = second.server()[0].locks = {word};
  const Diagnosis diagnosis = second.story.judge();
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->waiter.tid == kServer);
}

TEST_CASE("a thread here that may have the lock is waited for normally", "[diagnose][python-lock]") {
  PythonStory story;
  SECTION("it is in a `with` of it") { story.server()[0].locks = {story.word()}; }
  SECTION("it is in the same function") { story.server()[0] = python("Cache.get"); }
  SECTION("its code uses the lock's name") { story.server()[0].names.push_back("_lock"); }
  SECTION("its code calls the function that takes it") { story.server()[0].names.push_back("get"); }
  SECTION("it calls what takes it through a context manager") {
    story.waiter() = {python("locked", {"LOCK"}, "/srv/app/cache.py"),
                      python("_GeneratorContextManager.__enter__", {}, "/usr/lib/contextlib.py"),
                      python("get", {"locked"})};
    story.waiter()[0].locks = {story.word()};
    story.holder() = {python("locked", {"LOCK"})};
    REQUIRE(story.found());
    story.server()[0].names.push_back("locked");
  }
  SECTION("its code acquires something") { story.server()[0].names.push_back("acquire"); }
  SECTION("its Python frames are not known") { story.server().clear(); }
  SECTION("it is at work") { story.story.evidence.process.threads[1].settled = false; }
  CHECK_FALSE(story.found());
}

TEST_CASE("no lost thread has the lock: it is the child's own affair", "[diagnose][python-lock]") {
  PythonStory story;
  SECTION("it is in a `with` of another") { story.holder()[0].locks = {kElsewhere}; }
  SECTION("it is an event of C code: a thread that takes jobs is in the same function") {
    story.waiter()[0].locks.clear();
    story.holder() = {python("Cache.get")};
  }
  SECTION("it waits for the lock as well") {
    Thread waits = Thread(kHolder, "cache").waits(python_lock()).from({"main@/usr/bin/python3.11"});
    for (ThreadEvidence& thread : story.story.evidence.ancestors.front().threads)
      if (thread.tid == kHolder) thread.call = waits.evidence(Abi::kX86_64).call;
  }
  SECTION("nothing is known of it") { story.holder().clear(); }
  SECTION("the wait has not lasted") { story.story.evidence.lasted = false; }
  CHECK_FALSE(story.found());
}

TEST_CASE("what the forking function was called by took nothing since", "[diagnose][python-lock]") {
  PythonStory story;
  story.waiter() = {python("serve", {"select"}), python("main", {"fork", "serve"}),
                    python("<module>", {"_lock", "get", "acquire"})};
  story.waiter()[1].may_fork = true;
  story.server() = {python("Cache.get", {"_lock", "_rows"})};
  story.server()[0].locks = {story.word()};
  auto& threads = story.story.evidence.process.threads;
  std::swap(threads[0].stack, threads[1].stack);
  std::swap(threads[0].call, threads[1].call);
  CHECK(story.found());
  story.waiter()[1].names.push_back("_lock");
  CHECK_FALSE(story.found());
}

TEST_CASE("names that are no lock's say nothing", "[diagnose][python-lock]") {
  PythonStory story;
  story.server()[0].names.push_back("_rows");
  CHECK(story.found());
}

TEST_CASE("an import waits for another one only", "[diagnose][python-lock]") {
  constexpr const char* kMachinery = "<frozen importlib._bootstrap>";
  PythonStory story;
  story.waiter() = {python("_ModuleLock.acquire", {"wakeup", "select"}, kMachinery),
                    python("_find_and_load", {"_lock"}, kMachinery), python("settings", {"import_module"})};
  story.waiter()[0].locks = {story.word()};
  story.holder() = {python("load", {}, "/srv/app/slow.py"),
                    python("_find_and_load", {"_lock"}, kMachinery)};
  CHECK(story.found());
  story.server().push_back(python("_find_and_load", {"_lock"}, kMachinery));
  CHECK_FALSE(story.found());
}
