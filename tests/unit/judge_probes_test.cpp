// What probes found (fork:probe): kept apart from the program's own processes, and told as latent.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>
#include <span>

#include "detector/record/unsafe_calls.hpp"
#include "detector/report/print.hpp"
#include "tests/unit/support/story.hpp"

using namespace forkscope;
using namespace forkscope::test;
using Catch::Contains;
using nlohmann::json;

namespace {

/// The record at this offset was written by the child of a probe.
void by_probe(Story& story, std::uint64_t offset) {
  story.arena.put(offset + offsetof(record::RecordHeader, probe), std::uint32_t{1});
}

/// Thread 101 of process 100 made a probe, whose child 300 met the lock.
void probe_finds(Story& story, InjectProbed probed, std::uint32_t repeat = 0) {
  record::Fork fork = fork_of(9, 300);
  fork.frames = 2;
  fork.stack[0] = kWorker;
  fork.stack[1] = kMain;
  by_probe(story, story.arena.as(300, 300).fork(
                      fork, {thread(101, "main"), thread(102, "row-reader")}, {Story::held()}));
  record::Finding finding = Story::orphan(9);
  finding.probed = probed;
  finding.repeat = repeat;
  finding.waiter_frames = 1;
  finding.waiter[0] = kReadAll;
  by_probe(story, story.arena.finding(finding));
}

std::uint64_t add_injected(Story& story, const record::Injected& given) {
  record::Injected one = given;
  const std::string spec = "fork:probe,every=9";
  one.seed = 7;
  one.action = InjectAction::kForkProbe;
  one.text_length = std::uint32_t(spec.size());
  one.frames = 1;
  one.stack[0] = kWorker;
  return story.arena.as(100, 101).add(
      record::Type::kInjected, {std::as_bytes(std::span(&one, 1)), std::as_bytes(std::span(spec))});
}

void count_repeat(Story& story, std::uint32_t index, std::uint64_t count) {
  story.arena.put(offsetof(record::ArenaHeader, repeats) + index * sizeof(record::Repeat) +
                      offsetof(record::Repeat, count),
                  count);
}

}  // namespace

TEST_CASE("a probe's child is no process of the program's, what it found is latent",
          "[judge][probe]") {
  Story story;
  probe_finds(story, InjectProbed::kLock, 3);
  count_repeat(story, 2, 17);
  const Report report = story.judged();
  CHECK(report.forks.empty());
  CHECK(report.summary.forks == 0);
  CHECK(report.summary.deadlocked == 0);
  REQUIRE(report.findings.size() == 1);
  const Finding& finding = report.findings[0];
  CHECK(finding.kind == "orphaned-lock");
  CHECK(finding.severity == "latent");
  CHECK(finding.evidence == "owner-word");
  CHECK(finding.outcome == "probe");
  CHECK(finding.process == 100);
  CHECK(finding.count == 17);
  CHECK(finding.lock.symbol == "orders.file_lock");
  CHECK(finding.holder.tid == 102);
  REQUIRE(finding.fork_stack.size() == 2);
  CHECK(finding.fork_stack[0].function == "worker");
  REQUIRE(finding.waiter.stack.size() == 1);
  CHECK(finding.waiter.stack[0].function == "read_all");
  CHECK_THAT(finding.verdict, Contains("would have had a child that waits for ever for mutex "
                                       "orders.file_lock, held by thread 102 (row-reader)"));
  CHECK_THAT(finding.explanation, Contains("The program's own children take it"));
  const std::string text = finding_text(finding, {});
  CHECK_THAT(text, Contains("LATENT DEADLOCK in process 100"));
  CHECK_THAT(text, Contains("a child takes it at"));
  CHECK_THAT(text, !Contains("--on-deadlock"));
}

TEST_CASE("what a probe called, and not the program's children, is named", "[judge][probe]") {
  Story story;
  probe_finds(story, InjectProbed::kMalloc);
  CHECK_THAT(story.only().explanation, Contains("The probe called malloc()"));
  Story handlers;
  probe_finds(handlers, InjectProbed::kHandlers);
  CHECK_THAT(handlers.only().explanation, Contains("A handler of the program's own"));
}

TEST_CASE("a latent deadlock that a probe has seen is one finding, the probe's", "[judge][probe]") {
  Story story;
  story.forked(1, 200, {});
  record::Finding before = Story::orphan(1);
  before.severity = record::Severity::kLatent;
  before.evidence = record::Evidence::kTookBefore;
  story.arena.finding(before);
  record::Finding elsewhere = Story::orphan(1, kOtherLock);
  elsewhere.severity = record::Severity::kLatent;
  elsewhere.evidence = record::Evidence::kTookBefore;
  story.arena.finding(elsewhere);
  probe_finds(story, InjectProbed::kLock);
  const Report report = story.judged();
  REQUIRE(report.findings.size() == 2);
  CHECK(report.findings[0].lock.symbol == "orders.index_lock");
  CHECK(report.findings[1].lock.symbol == "orders.file_lock");
  CHECK(report.findings[1].outcome == "probe");
  CHECK(report.forks.size() == 1);
}

TEST_CASE("a function of libc that a probe hung in is a finding where a holder is known",
          "[judge][probe]") {
  Story story;
  record::Injected one{};
  one.result = InjectResult::kWouldHang;
  one.probed = InjectProbed::kObjects;
  one.function = std::uint8_t(record::UnsafeCall::dl_iterate_phdr);
  one.holder = 102;
  one.caller = kReadRowGroup;
  add_injected(story, one);
  const Finding finding = story.only();
  CHECK(finding.kind == "libc-lock");
  CHECK(finding.severity == "latent");
  CHECK(finding.outcome == "probe");
  CHECK(finding.process == 100);
  CHECK(finding.holder.tid == 102);
  REQUIRE(finding.libc);
  CHECK(finding.libc->function == "dl_iterate_phdr");
  CHECK_THAT(finding.verdict, Contains("waits for ever in dl_iterate_phdr()"));
  Story unknown;
  one.function = 0;
  add_injected(unknown, one);
  CHECK(unknown.judged().findings.empty());
  CHECK(unknown.judged().injected.size() == 1);
}

TEST_CASE("results of probes are counted, in text and JSON", "[judge][probe][inject]") {
  Story story;
  record::Injected passed{};
  passed.result = InjectResult::kPassed;
  passed.repeat = 1;
  add_injected(story, passed);
  count_repeat(story, 0, 41);
  record::Injected refused{};
  refused.result = InjectResult::kNotPossible;
  refused.error = 1;
  add_injected(story, refused);
  Report report = story.judged();
  report.summary.injected = 42;
  CHECK(injections_text(report, {}) ==
        "forkscope: injected with --seed=7\n"
        "  fork:probe,every=9: not-possible once (EPERM); passed 41 times\n");
  const json injected = json::parse(report_json(report))["injected"];
  CHECK(injected[0]["count"] == 41);
  CHECK(injected[0]["probed"].is_null());
  CHECK(injected[1]["errno"] == "EPERM");
}

TEST_CASE("records of a probe's child beside findings mean nothing, damaged ones are skipped",
          "[judge][probe]") {
  Story story;
  by_probe(story, story.arena.as(300, 300).exit(3));
  by_probe(story, story.arena.exec("/bin/true"));
  Session session = story.arena.session();
  CHECK(session.exits.empty());
  CHECK(session.execs.empty());
  CHECK(session.skipped_bytes == 0);
  record::Finding damaged = Story::orphan(9);
  damaged.probed = InjectProbed(200);
  by_probe(story, story.arena.finding(damaged));
  session = story.arena.session();
  CHECK(session.probe_findings.empty());
  CHECK(session.skipped_bytes > 0);
}
