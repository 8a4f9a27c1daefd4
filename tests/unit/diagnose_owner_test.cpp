// The rule of the owner word: a lock whose holder is a thread that is not here.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

constexpr std::int32_t kReader = 101;

/// The canonical hang: the parent's reader holds the lock that the child's first thread wants.
Story orphaned(Abi abi = Abi::kX86_64) {
  Story story(abi);
  story.parent(Thread(kReader, "reader").in_call("read").from({"read_row_group@app"}));
  story.child(Thread(kChild).waits(mutex(kReader)).from({"open_table@app", "main@app"}));
  return story;
}

}  // namespace

TEST_CASE("a mutex held by a living thread of the parent is a deadlock", "[diagnose][owner]") {
  for (Abi abi : {Abi::kX86_64, Abi::kGeneric64}) {
    const Diagnosis diagnosis = orphaned(abi).judge();
    REQUIRE(diagnosis.answer == Answer::kDeadlock);
    REQUIRE(diagnosis.finding);
    CHECK(diagnosis.finding->kind == "orphaned-lock");
    CHECK(diagnosis.finding->severity == "deadlock");
    CHECK(diagnosis.finding->certainty == "proven");
    CHECK(diagnosis.finding->evidence == "owner-word");
    CHECK(diagnosis.finding->holder.tid == kReader);
    CHECK(diagnosis.finding->holder.name == "reader");
    REQUIRE(diagnosis.finding->holder.now.size() == 2);
    CHECK(diagnosis.finding->holder.now.back().function == "read_row_group");
    REQUIRE(diagnosis.threads.size() == 1);
    CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kAncestor);
    CHECK(diagnosis.threads[0].owner.pid == kParent);
    CHECK(says(diagnosis, "file_lock"));
    CHECK(says(diagnosis, "thread 101 (reader)"));
    CHECK(says(diagnosis, "process 100"));
  }
}

TEST_CASE("a read-write lock stores its writer: the same, on both ABIs", "[diagnose][owner]") {
  for (Abi abi : {Abi::kX86_64, Abi::kGeneric64}) {
    Story story = orphaned(abi);
    story.child(Thread(kChild).waits(rwlock_written(kReader)).from({"main@app"}));
    const Diagnosis diagnosis = story.judge();
    REQUIRE(diagnosis.answer == Answer::kDeadlock);
    CHECK(diagnosis.finding->kind == "orphaned-lock");
    CHECK(diagnosis.finding->holder.tid == kReader);
    CHECK(diagnosis.finding->lock.type == "read-write lock");
    CHECK(diagnosis.finding->lock.mode == "write");
  }
}

TEST_CASE("each type of mutex keeps its name", "[diagnose][owner]") {
  struct {
    std::uint32_t kind;
    const char* type;
  } const types[] = {
      {0, "mutex"}, {1, "recursive mutex"}, {2, "error-checking mutex"}, {3, "adaptive mutex"}};
  for (const auto& [kind, type] : types) {
    Story story = orphaned();
    story.child(Thread(kChild).waits(mutex(kReader, kind)).from({"main@app"}));
    const Diagnosis diagnosis = story.judge();
    REQUIRE(diagnosis.answer == Answer::kDeadlock);
    CHECK(diagnosis.finding->lock.type == type);
    CHECK(says(diagnosis, type));
  }
}

TEST_CASE("a holder further up is found: a child of a child", "[diagnose][owner]") {
  Story story = orphaned();
  // Between them a process of one thread; the reader is the grandparent's.
  ProcessEvidence between = story.evidence.ancestors.front();
  between.pid = between.own_pid = 150;
  between.start = kForkTime - 1000;
  between.forked = true;
  between.threads = {Thread(150).started(kForkTime - 1000).evidence(Abi::kX86_64)};
  story.evidence.ancestors.insert(story.evidence.ancestors.begin(), between);
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kAncestor);
  CHECK(diagnosis.threads[0].owner.pid == kParent);
  CHECK(diagnosis.finding->holder.tid == kReader);
}

TEST_CASE("a holder that has ended since is gone, and it is a deadlock all the same",
          "[diagnose][owner]") {
  Story story;
  story.parent(Thread(102, "other"));
  story.child(Thread(kChild).waits(mutex(kReader)).from({"main@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->evidence == "owner-word");
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kGone);
  CHECK(diagnosis.finding->holder.tid == kReader);
  CHECK(says(diagnosis, "101"));
}

TEST_CASE("a holder is gone with the parent", "[diagnose][owner]") {
  Story story = orphaned();
  story.parent_gone();
  // Nothing but a number then, and numbers are used again.
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->evidence == "owner-word");
  CHECK(diagnosis.finding->severity == "hazard");

  story.remembers("read_rows@app");
  diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->evidence == "owner-word");
  CHECK(diagnosis.forked_by == 0);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kGone);
  CHECK(says(diagnosis, "has ended"));
}

TEST_CASE("a younger thread of the parent only has the holder's number", "[diagnose][owner]") {
  Story story;
  story.parent(Thread(kReader, "newcomer").started(kForkTime + 1));
  story.child(Thread(kChild).waits(mutex(kReader)).from({"main@app"}));
  CHECK(story.judge().answer == Answer::kProbable);
  story.remembers("read_rows@app");
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kGone);
  CHECK(diagnosis.finding->holder.name.empty());
  CHECK_FALSE(says(diagnosis, "newcomer"));
  CHECK(diagnosis.lost.empty());
}

TEST_CASE("a thread of the child's own that ended with the lock is no matter of the fork",
          "[diagnose][owner]") {
  Story story = orphaned();
  // Created after the fork: its number is greater than the child's.
  story.child(Thread(kChild).waits(mutex(kChild + 5)).from({"main@app"}));
  story.beside(Thread(kChild + 6, "server").in_call("epoll_pwait"));
  story.lasted();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kGone);
  CHECK(diagnosis.answer != Answer::kDeadlock);
  CHECK(diagnosis.answer != Answer::kProbable);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a lock of a living thread of the child is waited for", "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(mutex(kChild + 1)).from({"main@app"}));
  story.beside(Thread(kChild + 1, "own").in_call("read")).lasted();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kHere);
  CHECK(diagnosis.threads[0].owner.tid == kChild + 1);
  CHECK(diagnosis.threads[0].does.find("own") != std::string::npos);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("with other threads about, a held lock must have lasted", "[diagnose][owner]") {
  Story story = orphaned();
  story.beside(Thread(kChild + 1, "server").in_call("epoll_pwait"));
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kProbable);
  CHECK(diagnosis.finding->severity == "hazard");
  CHECK(diagnosis.finding->certainty == "probable");
  CHECK(diagnosis.finding->evidence == "owner-word");
  diagnosis = story.lasted().judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->certainty == "proven");
  CHECK(diagnosis.finding->holder.tid == kReader);
}

TEST_CASE("the victim need not be the first thread", "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).in_call("epoll_pwait"));
  story.beside(Thread(kChild + 1, "request").waits(mutex(kReader)).from({"serve@app"})).lasted();
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->waiter.tid == kChild + 1);
  CHECK(says(diagnosis, "request"));
}

TEST_CASE("a mutex made for several processes may be released by another one",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild)
                  .waits(mutex(kReader, 128).without_private_flag().at(kSharedWord + 0x40))
                  .from({"main@app"}));
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("a word in shared memory may be woken from elsewhere, if it is not private",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild)
                  .waits(unknown_word().without_private_flag().at(kSharedWord))
                  .from({"main@app"}));
  CHECK(story.judge().answer == Answer::kWaiting);
  // The same operation on memory of the process's own reaches nobody else.
  story.child(Thread(kChild).waits(unknown_word().without_private_flag()).from({"main@app"}));
  story.evidence.wait_links = {{kChild, kReader, WaitLink::How::kStack}};
  CHECK(story.judge().answer == Answer::kDeadlock);
  // An address that is mapped nowhere we see is not known to be private.
  story.child(Thread(kChild)
                  .waits(unknown_word().without_private_flag().at(0x7f1100000000))
                  .from({"main@app"}));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a lock with a time limit is no deadlock", "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(mutex(kReader).for_a_time()).from({"main@app"}));
  const Diagnosis diagnosis = story.lasted().judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK_FALSE(diagnosis.finding);
  CHECK(diagnosis.threads[0].does.find("limited time") != std::string::npos);
}

TEST_CASE("a thread that ran between two looks is not stuck", "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(mutex(kReader)).from({"main@app"}).unsettled());
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a lock that was released since is held by nobody", "[diagnose][owner]") {
  Story story = orphaned();
  Word word = mutex(kReader);
  word.words[0] = 0;  // the kernel compared with 2
  story.child(Thread(kChild).waits(word).from({"main@app"}));
  story.beside(Thread(kChild + 1, "own").in_call("read")).lasted();
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kUnknown);
  CHECK(diagnosis.answer == Answer::kWaiting);
}

TEST_CASE("in a PID namespace owners are known by the numbers of that namespace",
          "[diagnose][owner]") {
  // 100 and 200 of ours are 1 and 9 there; the reader is 7.
  Story story;
  story.evidence.process.own_pid = 9;
  story.evidence.ancestors[0].own_pid = 1;
  story.parent_main(Thread(kParent).own_tid(1));
  story.parent(Thread(kReader, "reader").own_tid(7).in_call("read"));
  story.child(Thread(kChild).own_tid(9).waits(mutex(7)).from({"main@app"}));
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->holder.tid == kReader);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kAncestor);
  // A thread of ours that happens to have the number outside is not the owner.
  story.parent(Thread(7, "outsider").own_tid(3));
  diagnosis = story.judge();
  CHECK(diagnosis.finding->holder.name == "reader");
  // The child's own thread 11 ended: greater than 9, though smaller than 200.
  story.child(Thread(kChild).own_tid(9).waits(mutex(11)).from({"main@app"}));
  story.beside(Thread(kChild + 1, "server").own_tid(12).in_call("read")).lasted();
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("memory that is shared with the parent has wakers there", "[diagnose][owner]") {
  Story story = orphaned();
  story.evidence.process.shares_memory = true;
  const Diagnosis diagnosis = story.lasted().judge();
  CHECK(diagnosis.answer == Answer::kWaiting);
  CHECK_FALSE(diagnosis.finding);
}

TEST_CASE("threads that came and went while they were listed prove nothing yet",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.evidence.process.all_threads = false;
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer != Answer::kDeadlock);
  // Who is not listed may be one of those who came.
  story.child(Thread(kChild).waits(mutex(150)).from({"main@app"}));
  const Diagnosis unlisted = story.judge();
  CHECK(unlisted.threads[0].owner.where == LockOwner::Where::kUnknown);
  CHECK(unlisted.answer != Answer::kDeadlock);
}

TEST_CASE("the kernel hands on a priority-inheriting lock when its owner dies",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(pi_mutex(kReader)).from({"main@app"}));
  CHECK(story.judge().answer == Answer::kWaiting);
}

TEST_CASE("a lock the forking thread held is held by itself", "[diagnose][owner]") {
  Story story;
  story.child(Thread(kChild).waits(mutex(kParent)).from({"callback@app", "main@app"}));
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "self-held-lock");
  CHECK(diagnosis.finding->evidence == "owner-word");
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kItself);
  CHECK(diagnosis.threads[0].owner.pid == kParent);
}

TEST_CASE("of several threads the one on whose stack the child runs is the forker",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(mutex(kParent)).from({"callback@app", "main@app"}));
  Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "self-held-lock");
  REQUIRE(diagnosis.lost.size() == 1);
  CHECK(diagnosis.lost[0].tid == kReader);

  // A worker forked: the child's first thread runs on that worker's stack.
  const std::uint64_t workers_sp = story.evidence.ancestors[0].threads[1].call->sp;
  story.child(Thread(kChild).waits(mutex(kReader)).from({"callback@app"}));
  story.evidence.process.threads[0].call->sp = workers_sp + 64;
  diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "self-held-lock");
  REQUIRE(diagnosis.lost.size() == 1);
  CHECK(diagnosis.lost[0].tid == kParent);

  // The parent's main thread holds it, which did not fork.
  story.child(Thread(kChild).waits(mutex(kParent)).from({"callback@app"}));
  story.evidence.process.threads[0].call->sp = workers_sp + 64;
  diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->kind == "orphaned-lock");
  CHECK(diagnosis.finding->holder.tid == kParent);
}

TEST_CASE("a thread that locks what it has is stuck, and no fork is to blame",
          "[diagnose][owner]") {
  Story story = orphaned();
  story.child(Thread(kChild).waits(mutex(kChild)).from({"main@app"}));
  const Diagnosis diagnosis = story.judge();
  CHECK(diagnosis.answer == Answer::kStuck);
  CHECK_FALSE(diagnosis.finding);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kItself);
  CHECK(diagnosis.threads[0].owner.pid == kChild);
}

TEST_CASE("the first process of a PID namespace knows the holder by what its memory remembers",
          "[diagnose][owner]") {
  Story story;
  story.parent_gone();
  story.evidence.process.own_pid = 1;
  story.child(Thread(kChild).own_tid(1).waits(mutex(kReader)).from({"main@app"}));
  story.beside(Thread(kChild + 1, "server").own_tid(2).in_call("read")).lasted();
  // Any number is greater than 1: it may be a thread of its own that ended.
  CHECK(story.judge().answer == Answer::kWaiting);
  story.remembers("read_rows@app");
  CHECK(story.judge().answer == Answer::kWaiting);
  story.evidence.remembered_threads.front().own_tid = kReader;
  const Diagnosis diagnosis = story.judge();
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  CHECK(diagnosis.finding->evidence == "owner-word");
}
