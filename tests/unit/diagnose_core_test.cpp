// A core file: what it tells of memory that may be shared, and of the thread that forked.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kReader = 101;
constexpr std::uint64_t kFileWord = 0x7f0000600040;

Mapping file_mapping(const std::string& path, std::uint64_t address = kFileWord) {
  Mapping mapping;
  mapping.start = address & ~std::uint64_t{0xfff};
  mapping.end = mapping.start + 0x1000;
  mapping.readable = mapping.writable = true;
  mapping.path = path;
  return mapping;
}

/// A child whose parent had a reader, as a core file has it: no parent, no flags of mappings.
Story core_of(const Thread& first) {
  Story story;
  story.child(first);
  ProcessEvidence& process = story.evidence.process;
  story.evidence.ancestors.clear();
  story.evidence.parent_unreadable = true;
  process.from_core = true;
  process.caught_signals.reset();
  auto at = process.mappings.begin();
  while (at->start < kFileWord) ++at;
  process.mappings.insert(at, file_mapping("/var/lib/table/lock.mdb"));
  return story.remembers("reader_loop@app").lasted();
}

Answer answer_to(const Word& word) {
  return core_of(Thread(kChild).waits(word).from({"lock_table@app", "main@app"})).judge().answer;
}

}  // namespace

TEST_CASE("core: whether a file's memory is shared is not known, and nothing is proven of it",
          "[diagnose][core]") {
  for (const Word& word : {mutex(kReader, 128), rwlock_written(kReader), semaphore(), condition(),
                           unknown_word()}) {
    const Word shared = word.without_private_flag();
    const Diagnosis diagnosis =
        core_of(Thread(kChild).waits(shared.at(kFileWord)).from({"lock_table@app", "main@app"}))
            .judge();
    CHECK(diagnosis.answer == Answer::kUnknown);
    CHECK_FALSE(diagnosis.finding);
    CHECK(says(diagnosis, "does not tell whether other processes share"));
  }
}

TEST_CASE("core: memory of no file, and a module's, is the process's own", "[diagnose][core]") {
  const Word word = mutex(kReader, 128).without_private_flag();
  CHECK(answer_to(word) == Answer::kDeadlock);                        // in the program's data
  CHECK(answer_to(word.at(0x555600000040)) == Answer::kDeadlock);     // on the heap
  CHECK(answer_to(word.at(kSharedWord + 0x40)) == Answer::kWaiting);  // shared, plainly
}

TEST_CASE("core: a private futex is woken from inside, wherever it lies", "[diagnose][core]") {
  CHECK(answer_to(mutex(kReader).at(kFileWord)) == Answer::kDeadlock);
}

TEST_CASE("core: without its list of files nothing is known to be the process's own",
          "[diagnose][core]") {
  Story story =
      core_of(Thread(kChild).waits(mutex(kReader, 128).without_private_flag()).from({"main@app"}));
  for (Mapping& mapping : story.evidence.process.mappings)
    if (mapping.path.starts_with('/')) mapping.path.clear(), mapping.shared = false;
  story.evidence.process.modules.clear();
  CHECK(story.judge().answer == Answer::kUnknown);
}

TEST_CASE("core: a lock that the forking thread held itself is its own", "[diagnose][core]") {
  // The copy goes on on the stack of the parent's first thread, whose id the core has.
  Story story = core_of(Thread(kChild).waits(mutex(kParent, 1)).from({"again@app", "main@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "stale-owner");  // it knows its holder by the old id
  CHECK(diagnosis.finding->holder.tid == kParent);
  // Another thread's is not, nor one of a copy that another thread made.
  story = core_of(Thread(kChild).waits(mutex(kReader, 1)).from({"again@app", "main@app"}));
  CHECK(story.judge().finding->kind == "orphaned-lock");
  story = core_of(Thread(kChild).waits(mutex(kParent, 1)).from({"again@app", "main@app"}));
  story.evidence.process.threads.front().call->sp = 0x7f0000600100;
  CHECK(story.judge().finding->kind == "orphaned-lock");
}

TEST_CASE("core: a second thread that waits for what the forking one held waits for the first",
          "[diagnose][core]") {
  Story story = core_of(Thread(kChild).in_call("read"));
  story.beside(Thread(kChild + 1, "second").waits(mutex(kParent, 1)).from({"again@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.threads.size() == 2);
  CHECK(diagnosis.threads[1].owner.where == LockOwner::Where::kHere);
  CHECK(diagnosis.answer == Answer::kWaiting);
}
