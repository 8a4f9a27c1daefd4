// Real processes, recorded: each hung one gets its cause, each idle one none.
#include <catch2/catch.hpp>

#include "tests/unit/support/evidence_builder.hpp"
#include "tests/unit/support/recorded_evidence.hpp"

using namespace forkscope;
using namespace forkscope::test::outside;

namespace {

/// A recorded process that has a deadlock, as the finding.
Finding deadlock_in(const Evidence& evidence) {
  const Diagnosis diagnosis = judge_recorded(evidence);
  INFO(diagnosis.sentence);
  REQUIRE(diagnosis.answer == Answer::kDeadlock);
  REQUIRE(diagnosis.finding);
  CHECK(diagnosis.finding->severity == "deadlock");
  CHECK(diagnosis.finding->certainty == "proven");
  CHECK(diagnosis.finding->process == evidence.process.pid);
  return *diagnosis.finding;
}

/// The recordings were made before threads were asked what they know of a wait: what that says of
/// the scenario, whose pool threads have the pool on their stacks.
Evidence with_link(Evidence evidence) {
  evidence.wait_links = {{evidence.process.threads.front().tid, 0, WaitLink::How::kStack}};
  return evidence;
}

bool has_frame(const std::vector<Frame>& stack, const std::string& part) {
  for (const Frame& frame : stack)
    if (frame.function.find(part) != std::string::npos) return true;
  return false;
}

bool has_name(const std::vector<ThreadReport>& threads, const std::string& stem) {
  for (const ThreadReport& thread : threads)
    if (thread.name.starts_with(stem)) return true;
  return false;
}

}  // namespace

TEST_CASE("recorded: a file's texts, memory and modules come out as evidence", "[recorded]") {
  const Evidence evidence = recorded("orphaned-mutex-parquet");
  const ProcessEvidence& process = evidence.process;
  CHECK(process.forked == true);
  CHECK(process.abi == Abi::kX86_64);
  CHECK(process.libc == Libc::kGlibc);
  CHECK(process.exe == "/opt/forkscope/scenarios/parquet-lock");
  REQUIRE(process.threads.size() == 1);
  CHECK(process.threads[0].settled);
  REQUIRE(process.threads[0].call);
  REQUIRE(process.memory.size() == 1);
  CHECK(process.memory[0].bytes.size() == 256);
  REQUIRE(evidence.ancestors.size() == 1);
  CHECK(evidence.ancestors[0].pid == process.parent);
  CHECK(evidence.ancestors[0].forked == false);
}

TEST_CASE("recorded: parquet-lock, whose holder has ended", "[recorded]") {
  const Evidence evidence = recorded("orphaned-mutex-parquet");
  const Finding finding = deadlock_in(evidence);
  CHECK(finding.kind == "orphaned-lock");
  CHECK(finding.evidence == "owner-word");
  CHECK(finding.lock.type == "mutex");
  CHECK(finding.lock.module == evidence.process.exe);
  CHECK(finding.waiter.call == "___pthread_mutex_lock");
  CHECK(has_frame(finding.waiter.stack, "TableReader::read_parquet"));
  CHECK(finding.holder.tid > evidence.ancestors[0].pid);
  CHECK(finding.holder.tid < evidence.process.pid);
}

TEST_CASE("recorded: a mutex whose holder still lives in the parent", "[recorded]") {
  const Evidence evidence = recorded("orphaned-mutex-living-holder");
  const Finding finding = deadlock_in(evidence);
  CHECK(finding.kind == "orphaned-lock");
  CHECK(finding.evidence == "owner-word");
  CHECK(finding.holder.name == "cache-filler");
  CHECK_FALSE(finding.holder.now.empty());
  CHECK(has_name(finding.lost, "cache-filler"));
  const Diagnosis diagnosis = judge_recorded(evidence);
  CHECK(diagnosis.threads[0].owner.where == LockOwner::Where::kAncestor);
  CHECK(diagnosis.threads[0].owner.pid == evidence.ancestors[0].pid);
}

TEST_CASE("recorded: worker-pool, whose workers were not copied", "[recorded]") {
  CHECK(judge_recorded(recorded("lost-worker-pool")).answer == Answer::kProbable);
  const Evidence evidence = with_link(recorded("lost-worker-pool"));
  const Finding finding = deadlock_in(evidence);
  CHECK(finding.kind == "lost-thread");
  CHECK(finding.evidence == "nobody-left");
  CHECK(finding.lost.size() + 1 == evidence.ancestors[0].threads.size());
  CHECK_FALSE(finding.lost.empty());
}

TEST_CASE("recorded: localtime's lock, which has no owner word", "[recorded]") {
  const Finding finding = deadlock_in(recorded("libc-lock-localtime"));
  CHECK(finding.kind == "libc-lock");
  CHECK(finding.evidence == "nobody-left");
  CHECK(finding.waiter.call == "__tzset");
  CHECK(finding.lock.module.find("libc.so.6") != std::string::npos);
  CHECK(has_frame(finding.waiter.stack, "call_localtime"));
}

TEST_CASE("recorded: Polars waits for threads of its runtime", "[recorded]") {
  const Evidence evidence = recorded("lost-rayon-polars");
  const Finding finding = deadlock_in(evidence);
  CHECK(finding.kind == "lost-thread");
  CHECK(finding.evidence == "nobody-left");
  CHECK(has_name(finding.lost, "polars-"));
  CHECK(has_name(finding.lost, "tokio-rt-worker"));
  CHECK(finding.cure.find("get_context(\"spawn\")") != std::string::npos);
}

TEST_CASE("recorded: another living thread takes away the proof where no owner is known",
          "[recorded]") {
  Evidence evidence = recorded("orphaned-mutex-living-holder");
  evidence.process.threads.push_back(
      Thread(evidence.process.pid + 1, "server").in_call("epoll_pwait").evidence(Abi::kX86_64));
  evidence.lasted = false;
  CHECK(judge_recorded(evidence).answer == Answer::kProbable);
  evidence.lasted = true;
  CHECK(judge_recorded(evidence).answer == Answer::kDeadlock);

  evidence = recorded("libc-lock-localtime");
  evidence.process.threads.push_back(
      Thread(evidence.process.pid + 1, "server").in_call("epoll_pwait").evidence(Abi::kX86_64));
  CHECK(judge_recorded(evidence).answer != Answer::kDeadlock);
}

TEST_CASE("recorded: the same processes, not forked, are stuck by no fork", "[recorded]") {
  for (const char* name : {"orphaned-mutex-parquet", "orphaned-mutex-living-holder",
                           "lost-worker-pool", "libc-lock-localtime", "lost-rayon-polars"}) {
    INFO(name);
    Evidence evidence = recorded(name);
    evidence.process.forked = false;
    evidence.ancestors.clear();
    evidence.parent_gone = false;
    const Diagnosis diagnosis = judge_recorded(evidence);
    CHECK(diagnosis.answer == Answer::kStuck);
    CHECK_FALSE(diagnosis.finding);
  }
}

TEST_CASE("recorded: the child's own memory is enough when the parent has ended", "[recorded]") {
  for (const char* name : {"orphaned-mutex-parquet", "orphaned-mutex-living-holder",
                           "lost-worker-pool", "libc-lock-localtime", "lost-rayon-polars"}) {
    INFO(name);
    Evidence evidence = with_link(recorded(name));
    REQUIRE(evidence.memory_knows_threads);
    const Finding with_parent = deadlock_in(evidence);
    evidence.ancestors.clear();
    evidence.parent_gone = true;
    const Finding without = deadlock_in(evidence);
    CHECK(without.kind == with_parent.kind);
    CHECK(without.evidence == with_parent.evidence);
    CHECK(without.holder.name.empty());
    CHECK(without.lost.empty());
  }
}

TEST_CASE("recorded: idle processes wait normally", "[recorded]") {
  for (const char* name : {"idle-thread-pool", "idle-forked-executor", "idle-prefork-server",
                           "idle-process-pool", "idle-postgres-backend"}) {
    for (bool lasted : {true, false}) {
      Evidence evidence = recorded(name);
      evidence.lasted = lasted;
      const Diagnosis diagnosis = judge_recorded(evidence);
      INFO(name << ": " << diagnosis.sentence);
      CHECK(diagnosis.answer == Answer::kWaiting);
      CHECK_FALSE(diagnosis.finding);
    }
  }
}

TEST_CASE("recorded: idle children are told as what they are", "[recorded]") {
  const Diagnosis backend = judge_recorded(recorded("idle-postgres-backend"));
  CHECK(backend.program == "postgres");
  CHECK(backend.forked == true);
  CHECK(says(backend, "epoll"));

  const Diagnosis worker = judge_recorded(recorded("idle-process-pool"));
  REQUIRE_FALSE(worker.threads.empty());
  // Its semaphore lies in memory that all workers share.
  CHECK(worker.threads[0].place.shared);
  CHECK(worker.threads[0].for_ever);

  const Diagnosis executor = judge_recorded(recorded("idle-forked-executor"));
  CHECK(executor.threads.size() > 1);
  CHECK(executor.forked == true);

  const Diagnosis pool = judge_recorded(recorded("idle-thread-pool"));
  CHECK(pool.forked == false);
  CHECK(pool.threads.size() > 1);
}
