// The plan of a sweep, and what a run says of its lock.
#include <catch2/catch.hpp>

#include "detector/report/print_sweep.hpp"
#include "detector/verdict/sweep.hpp"

using namespace forkscope;

namespace {

constexpr std::uint64_t kLock = 0x4010, kOther = 0x4050;

LockInfo lock_at(std::uint64_t address, const std::string& symbol) {
  LockInfo lock;
  lock.address = lock.offset = address;
  lock.type = "mutex";
  lock.symbol = symbol;
  lock.module = "/usr/lib/libstore.so.3";
  return lock;
}

Frame frame(const std::string& function) {
  Frame frame;
  frame.function = function;
  frame.module = "/usr/bin/server";
  return frame;
}

LearnedLock learned(std::uint64_t address, const std::string& symbol) {
  LearnedLock learned;
  learned.lock = lock_at(address, symbol);
  learned.words = "mutex " + symbol;
  return learned;
}

Finding deadlock_at(std::uint64_t address) {
  Finding finding;
  finding.kind = "orphaned-lock";
  finding.severity = "deadlock";
  finding.lock = lock_at(address, "lock");
  finding.fingerprint = "v1-0123456789abcdef";
  finding.verdict = "waits for ever";
  return finding;
}

InjectedReport injected(const std::string& result, std::uint64_t address = kLock) {
  InjectedReport injected;
  injected.spec = "fork:while-held,lock=libstore.so.3+0x4010";
  injected.point = "fork";
  injected.result = result;
  injected.pid = 100;
  if (address != 0) injected.lock = lock_at(address, "lock");
  return injected;
}

/// A run that ended as the learned one did.
Report run_with(const std::string& result) {
  Report run;
  run.exit = 0;
  if (!result.empty()) run.injected.push_back(injected(result));
  return run;
}

const SweepEnd kLearned{0, std::nullopt, false};

SweepResult result_of(const Report& run) { return sweep_verdict(run, kLearned).result; }

/// A fork whose handlers did something with the lock.
ForkReport fork_with(const HandlerReport& handler) {
  ForkReport fork;
  fork.pid = 100;
  fork.handlers = {handler};
  return fork;
}

HandlerReport::Run run_of(const std::string& function) {
  HandlerReport::Run run;
  run.function = frame(function);
  run.function->module = "/usr/lib/libstore.so.3";
  return run;
}

}  // namespace

TEST_CASE("a plan tells locks in modules by module and offset, suspected ones first") {
  Report report;
  report.learned = {learned(kOther, "idle"), learned(kLock, "orders")};
  Finding latent = deadlock_at(kLock);
  latent.severity = "latent";
  report.findings = {latent};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].spec == "fork:while-held,lock=libstore.so.3+0x4010");
  CHECK(rows[0].lock == "mutex orders");
  CHECK(rows[0].suspected);
  CHECK(rows[0].id == "001");
  CHECK(rows[1].spec == "fork:while-held,lock=libstore.so.3+0x4050");
  CHECK_FALSE(rows[1].suspected);
  CHECK(rows[1].id == "002");
}

TEST_CASE("a plan has the lock of a latent finding that no fork wrote of") {
  Report report;
  Finding latent = deadlock_at(kLock);
  latent.severity = "latent";
  latent.holder.tid = 101;
  latent.waiter.stack = {frame("read_config")};
  report.findings = {latent};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].spec == "fork:while-held,lock=libstore.so.3+0x4010");
  CHECK(rows[0].lock == "mutex lock (libstore.so)");  // not who met it
  CHECK(rows[0].suspected);
  // What a child really waits for is no lock that was only suspected, and lost threads are none.
  report.findings.front().severity = "deadlock";
  CHECK(sweep_plan(report).empty());
  report.findings.front() = latent;
  report.findings.front().kind = "lost-thread";
  CHECK(sweep_plan(report).empty());
}

TEST_CASE("a plan tells locks on the heap by who takes them, each once") {
  Report report;
  LearnedLock heap;
  heap.words = "mutex, taken in cache::get";
  heap.lock.address = 0x7f0000001000;
  heap.lock.type = "mutex";
  heap.user.acquired = {frame("std::mutex::lock()"), frame("cache<int, char>::get(int)")};
  report.learned = {heap, heap};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].spec == "fork:while-held,lock=_Z*5cache*3get*");
  const auto spec_of_site = [&](const std::string& function) {
    report.learned.front().user.acquired = {frame(function)};
    return sweep_plan(report).front().spec;
  };
  CHECK(spec_of_site("store::get(int, char)") == "fork:while-held,lock=store::get");
  CHECK(spec_of_site("(anonymous namespace)::get(int)") == "fork:while-held,lock=get");
  CHECK(spec_of_site("PyThread_acquire_lock") == "fork:while-held,lock=PyThread_acquire_lock");
  CHECK(spec_of_site("store::fill(int)::{lambda()#1}::operator()() const") ==
        "fork:while-held,lock=_ZZ*5store*4fill*Ul*");
  report.learned.front().birth = "born:1.37";
  CHECK(sweep_plan(report).front().spec == "fork:while-held,lock=born:1.37");
  report.learned.front().birth.clear();
  report.learned.front().user.acquired.clear();  // nothing tells it from others
  report.learned.pop_back();
  CHECK(sweep_plan(report).empty());
}

TEST_CASE("where nothing has a name a lock is told by the place of the call", "[sweep]") {
  Report report;
  LearnedLock heap;
  heap.words = "mutex, taken in libleveldb.so+0x2b40";
  heap.lock.address = 0x7f0000001000;
  heap.lock.type = "mutex";
  Frame site;
  site.module = "/usr/lib/x86_64-linux-gnu/libleveldb.so.1.23";
  site.offset = 0x2b40;
  heap.user.acquired = {site};
  LearnedLock made = heap;  // code made at run time is in no file
  made.words = "mutex, taken in ?";
  made.lock.address = 0x7f0000002000;
  made.user.acquired = {Frame{}};
  report.learned = {heap, made};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].spec == "fork:while-held,lock=site:libleveldb.so.1.23+0x2b40");
  CHECK(untried_locks(report) == std::vector<std::string>{"mutex, taken in ?"});
}

TEST_CASE("in CPython a second injection lets others run while the lock is held") {
  Report report;
  LearnedLock python;
  python.words = "semaphore, lock 37 that thread 1 made";
  python.birth = "born:1.37";
  python.user.acquired = {frame("PyThread_acquire_lock_timed")};
  python.user.acquired.front().module = "/usr/bin/python3.11";
  report.learned = {python};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].spec == "fork:while-held,lock=born:1.37,wait=100ms");
  CHECK(rows[0].also == "lock:hold=20ms,lock=born:1.37");
  report.learned.front().user.acquired.front().module = "/usr/bin/server";
  CHECK(sweep_plan(report).front().also.empty());
}

TEST_CASE("a lock that at-fork handlers take the other way round is kept before the second one") {
  Report report;
  Finding inversion = deadlock_at(kLock);
  inversion.kind = "atfork-handler";
  inversion.severity = "latent";
  inversion.evidence = "lock-order";
  report.findings = {inversion};
  for (const bool known : {false, true}) {
    if (known) report.learned = {learned(kLock, "lock")};
    const std::vector<SweepRow> rows = sweep_plan(report);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].spec == "fork:while-held,lock=libstore.so.3+0x4010");
    CHECK(rows[0].also == "lock:hold=20ms,lock=libstore.so.3+0x4010");
    CHECK(rows[0].suspected);
  }
}

TEST_CASE("a plan has functions of libc") {
  Report report;
  LearnedLock libc;
  libc.function = "localtime_r";
  libc.words = "localtime_r(), which takes tzset_lock";
  report.learned = {libc};
  const std::vector<SweepRow> rows = sweep_plan(report);
  REQUIRE(rows.size() == 1);
  CHECK(rows[0].spec == "fork:while-in,function=localtime_r");
}

TEST_CASE("a run in which a child waits for ever for the forced lock deadlocked") {
  Report run = run_with("forced");
  run.findings = {deadlock_at(kLock)};
  run.exit = 3;  // which the deadlock explains
  const SweepVerdict verdict = sweep_verdict(run, kLearned);
  CHECK(verdict.result == SweepResult::kDeadlocked);
  CHECK(verdict.fingerprint == "v1-0123456789abcdef");
  CHECK(verdict.detail == "waits for ever");
}

TEST_CASE("a deadlock at another lock says nothing of the forced one") {
  Report run = run_with("forced");
  run.findings = {deadlock_at(kOther)};
  CHECK(result_of(run) == SweepResult::kElsewhere);
  run.findings.push_back(deadlock_at(kLock));
  CHECK(result_of(run) == SweepResult::kDeadlocked);
}

TEST_CASE("latent findings and hazards are no deadlocks") {
  Report run = run_with("forced");
  for (const char* severity : {"latent", "hazard", "note"}) {
    Finding finding = deadlock_at(kLock);
    finding.severity = severity;
    run.findings = {finding};
    CHECK(result_of(run) == SweepResult::kSurvived);
  }
}

TEST_CASE("a deadlock in libc is that of the function it was forced for") {
  Report run = run_with("");
  InjectedReport inside = injected("inside", 0);
  inside.function = "localtime_r";
  run.injected = {inside};
  CHECK(result_of(run) == SweepResult::kNotReached);
  Finding finding = deadlock_at(0);
  finding.kind = "libc-lock";
  run.findings = {finding};
  CHECK(result_of(run) == SweepResult::kDeadlocked);
}

TEST_CASE("a run that was not forced says that it was not") {
  CHECK(result_of(run_with("")) == SweepResult::kNotReached);
  CHECK(result_of(run_with("not-reached")) == SweepResult::kNotReached);
  CHECK(result_of(run_with("let-go")) == SweepResult::kNotReached);
  Report later = run_with("not-reached");
  later.injected.push_back(injected("forced"));  // at a later fork
  CHECK(result_of(later) == SweepResult::kSurvived);
}

TEST_CASE("a lock that an at-fork handler sees to is protected, and by whom is said") {
  HandlerReport takes;
  takes.prepare = run_of("lock_store()");
  takes.prepare->taken = {lock_at(kLock, "lock")};
  Report run = run_with("needed-by-forker");
  run.forks = {fork_with(takes)};
  SweepVerdict verdict = sweep_verdict(run, kLearned);
  CHECK(verdict.result == SweepResult::kProtected);
  CHECK(verdict.protector == "lock_store() (libstore.so)");

  HandlerReport repairs;
  repairs.child = run_of("renew_store()");
  repairs.child->released = {lock_at(kLock, "lock")};
  run = run_with("forced");
  run.forks = {fork_with(repairs)};
  verdict = sweep_verdict(run, kLearned);
  CHECK(verdict.result == SweepResult::kProtected);
  CHECK(verdict.protector == "renew_store() (libstore.so)");

  repairs.child->released = {lock_at(kOther, "other")};
  run.forks = {fork_with(repairs)};
  CHECK(result_of(run) == SweepResult::kSurvived);
}

TEST_CASE("a lock that the forking thread takes itself is protected") {
  const SweepVerdict verdict = sweep_verdict(run_with("needed-by-forker"), kLearned);
  CHECK(verdict.result == SweepResult::kProtected);
  CHECK(verdict.protector.empty());
}

TEST_CASE("a run that ended otherwise than the learned one, without a finding, says so") {
  Report run = run_with("forced");
  run.exit = 4;
  CHECK(result_of(run) == SweepResult::kFailed);
  CHECK(sweep_verdict(run, kLearned).detail ==
        "the program ended with exit status 4, and no deadlock was found");
  CHECK(sweep_verdict(run, SweepEnd{4, std::nullopt, false}).result == SweepResult::kSurvived);
  CHECK(sweep_verdict(run, std::nullopt).result == SweepResult::kSurvived);  // not known
  run.timed_out = true;
  CHECK(sweep_verdict(run, std::nullopt).result == SweepResult::kFailed);
}

TEST_CASE("the table has a line for each run, and their numbers") {
  SweepTable table;
  table.folder = "/tmp/sweep";
  SweepTable::Row row;
  row.row = {"001", "fork:while-held,lock=a", "mutex a", true, ""};
  row.verdict = sweep_verdict(run_with("forced"), kLearned);
  row.command = "forkscope run --inject=fork:while-held,lock=a -- ./a";
  table.rows = {row, row};
  table.rows[1].verdict.result = SweepResult::kDeadlocked;
  const std::string text = sweep_text(table, {});
  CHECK(text ==
        "  survived              mutex a\n"
        "                        no child waits for it\n"
        "  deadlocked            mutex a\n"
        "                        no child waits for it\n"
        "                        $ forkscope run --inject=fork:while-held,lock=a -- ./a\n"
        "sweep: 2 runs: 1 deadlocked, 1 survived; kept in /tmp/sweep\n");
  table.rows.resize(1);
  table.rows[0].row = {};  // of a session that is no sweep's
  table.rows[0].verdict.result = SweepResult::kElsewhere;
  table.untried = {"mutex, taken in ?"};
  CHECK(sweep_text(table, {}).find("  deadlocked elsewhere  (nothing was forced)\n") == 0);
  CHECK(sweep_text(table, {}).find("  not tried             mutex, taken in ?\n") !=
        std::string::npos);
  table.rows.clear();
  table.untried.clear();
  CHECK(sweep_text(table, {}) ==
        "sweep: no other thread used a lock that a fork could orphan: there is nothing to try\n");
}

TEST_CASE("the JSON table is one document with what is not known as null") {
  SweepTable table;
  table.command = {"./a"};
  SweepTable::Row row;
  row.row = {"001", "fork:while-held,lock=a", "mutex a", false, ""};
  table.rows = {row};
  const std::string json = sweep_json(table);
  CHECK(json.starts_with("{\n  \"schema\": \"forkscope.sweep/1\",\n"));
  CHECK(json.find("\"result\": \"missing\"") != std::string::npos);
  CHECK(json.find("\"end\": null") != std::string::npos);
  CHECK(json.find("\"missing\": 1") != std::string::npos);
  CHECK(json.ends_with("}\n"));
}
