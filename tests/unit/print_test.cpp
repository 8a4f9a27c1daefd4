// The printers: golden files for what a reader sees, and the layout rules one by one.
#include <catch2/catch.hpp>
#include <sstream>

#include "detector/report/layout.hpp"
#include "detector/report/print.hpp"
#include "tests/unit/support/golden.hpp"

using namespace forkscope;
using Catch::Contains;
using forkscope::test::check_golden;

namespace {

Frame frame(const std::string& function, const std::string& file, int line,
            const std::string& module = "/opt/app/bin/parquet-lock", bool inlined = false) {
  Frame f;
  f.address = 0x55d0c0de1000 + static_cast<std::uint64_t>(line);
  f.module = module;
  f.offset = 0x1000 + static_cast<std::uint64_t>(line);
  f.function = function;
  f.file = file.empty() ? "" : "/home/user/table-reader/src/" + file;
  f.line = line;
  f.inlined = inlined;
  return f;
}

ThreadReport worker(std::int32_t tid, const std::string& name, const std::string& state) {
  ThreadReport thread;
  thread.tid = tid;
  thread.name = name;
  thread.start = frame("worker_main(Pool&)", "pool.cpp", 30);
  thread.state = state;
  thread.wait_object = 0x55d0c0de5080;
  return thread;
}

Finding orphaned_lock() {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = "deadlock";
  f.process = 4712;
  f.program = "parquet-lock";
  f.fork = 1;
  f.verdict = "waits for ever for mutex orders.file_lock";
  f.lock = {0x55d0c0de5010, "mutex", "orders.file_lock", "/opt/app/bin/parquet-lock", 0x5010};
  f.holder.tid = 4711;
  f.holder.name = "row-reader";
  f.holder.start = frame("decode_rows(TableReader&)", "reader.cpp", 120);
  f.holder.acquired = {
      frame("std::mutex::lock()", "/usr/include/c++/12/bits/std_mutex.h", 100,
            "/opt/app/bin/parquet-lock", true),
      frame("TableReader::read_row_group(int)", "reader.cpp", 88),
      frame("TableReader::read_parquet()", "reader.cpp", 101),
      frame("decode_rows(TableReader&)", "reader.cpp", 124),
      frame("start_thread", "", 0, "/usr/lib/x86_64-linux-gnu/libc.so.6"),
  };
  f.holder.acquired_complete = true;
  f.holder.creator = {frame("TableReader::start_readers(int)", "reader.cpp", 60),
                      frame("main", "main.cpp", 20)};
  f.waiter.tid = 4712;
  f.waiter.call = "pthread_mutex_lock";
  f.waiter.stack = {frame("TableReader::read_row_group(int)", "reader.cpp", 88),
                    frame("worker(int)", "main.cpp", 12), frame("main", "main.cpp", 31)};
  f.fork_stack = {frame("start_worker(int)", "main.cpp", 9), frame("main", "main.cpp", 30)};
  f.lost = {worker(4711, "row-reader", "running")};
  f.explanation =
      "Thread 4711 (row-reader) held it when thread 4700 called fork(). A forked child has only "
      "the thread that called fork, so nobody in process 4712 will ever unlock it.";
  f.cure =
      "Start the process with posix_spawn(), which copies neither threads nor locks, or fork "
      "before threads are started.";
  f.outcome = "blocked";
  f.count = 4;
  f.records = {4096};
  return f;
}

Finding lost_thread() {
  Finding f;
  f.kind = "lost-thread";
  f.severity = "deadlock";
  f.process = 910;
  f.program = "worker-pool";
  f.fork = 2;
  f.verdict = "waits for ever on condition variable pool.done for a thread that fork did not copy";
  f.lock = {0x7f3300001000, "condition variable", "", "", 0};
  f.holder.tid = 905;
  f.holder.name = "pool-0";
  f.holder.start = frame("worker_main(Pool&)", "pool.cpp", 30);
  f.holder.acquired = {frame("Pool::next_job()", "pool.cpp", 41)};
  f.waiter.tid = 910;
  f.waiter.call = "pthread_cond_wait";
  f.waiter.stack = {frame("Pool::wait()", "pool.cpp", 77)};
  f.lost = {worker(905, "pool-0", "waiting on a condition variable"), worker(906, "", "running"),
            worker(907, "", "running")};
  f.lost[2].start->function.clear();  // an address says nothing: it is left out
  f.explanation = "So nobody is left in process 910 who could signal it.";
  f.cure = "Start the process with posix_spawn().";
  f.outcome = "killed";
  return f;
}

/// As untouched locks are: no waiter, one return address.
Finding hazard() {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = "hazard";
  f.process = 920;
  f.fork = 3;
  f.verdict = "was forked while another thread held mutex at libtable.so+0x40";
  f.lock = {0x7f3300000040, "mutex", "", "/usr/lib/libtable.so", 0x40};
  f.holder.tid = 906;
  f.holder.acquired = {frame("", "", 0, "/usr/lib/libtable.so")};
  f.explanation = "Thread 906 held it when thread 900 called fork().";
  f.cure = "Register pthread_atfork().";
  return f;
}

/// A process that died of a fork rather than hang.
Finding missing_memory() {
  Finding f;
  f.kind = "missing-memory";
  f.severity = "deadlock";
  f.evidence = "fault";
  f.process = 930;
  f.program = "trainer";
  f.fork = 4;
  f.verdict = "was ended by SIGSEGV: it touched memory that fork did not copy";
  f.lock.address = 0x7f3300001234;
  f.lock.type = "memory";
  f.lock.file = "/dev/shm/pool";
  f.range = Finding::Range{0x7f3300000000, 0x7f3300010000};
  f.advice = "MADV_DONTFORK";
  f.holder.acquired = {frame("register_pages(void*)", "device.cpp", 12)};
  f.waiter.tid = 930;
  f.waiter.call = "memory access";
  f.waiter.stack = {frame("checksum(Pool const&)", "pool.cpp", 55)};
  f.explanation = "0x7f3300001234 lies in it.";
  f.cure = "Keep the child away from this memory.";
  f.outcome = "died: SIGSEGV";
  f.died = true;
  return f;
}

Finding shared_descriptor() {
  Finding f;
  f.kind = "shared-descriptor";
  f.severity = "hazard";
  f.evidence = "parent-holds";
  f.process = 940;
  f.fork = 5;
  f.verdict = "releases its parent's flock lock on /run/app.lock (descriptor 5)";
  f.lock.type = "flock lock";
  f.lock.file = "/run/app.lock";
  f.lock.descriptor = 5;
  f.lock.mode = "write";
  f.holder.tid = 900;
  f.holder.acquired = {frame("Store::open()", "store.cpp", 9)};
  f.waiter.tid = 940;
  f.waiter.call = "flock";
  f.waiter.stack = {frame("Store::~Store()", "store.cpp", 20)};
  f.explanation = "Its unlock takes the lock from the parent.";
  f.cure = "Open the file anew in the child.";
  return f;
}

Finding fork_bypass() {
  Finding f;
  f.kind = "fork-bypass";
  f.severity = "note";
  f.evidence = "skipped-handlers";
  f.process = 950;
  f.fork = 6;
  f.verdict = "was made by syscall(SYS_clone3), around the at-fork handlers of 3 threads";
  f.fork_stack = {frame("sandbox()", "sandbox.cpp", 70)};
  f.lost = {worker(951, "logger", "running")};
  f.explanation = "No at-fork handler ran.";
  f.cure = "Use fork().";
  f.count = 3;
  return f;
}

Finding lost_join() {
  Finding f = lost_thread();
  f.severity = "hazard";
  f.evidence = "thread-gone";
  f.verdict = "joined thread 905 (pool-0), which fork did not copy";
  f.lock = {0x7f3300001000, "thread", "", "", 0};
  f.waiter.call = "pthread_join";
  f.outcome = "came back";
  return f;
}

Report whole_report() {
  Report r;
  r.command = {"./parquet-lock", "--method=fork"};
  r.exit = 3;
  ForkReport fork;
  fork.id = 1;
  fork.api = "fork";
  fork.pid = 4700;
  fork.tid = 4700;
  fork.child = 4712;
  fork.time = 123456789012345;
  fork.caller = frame("start_worker(int)", "main.cpp", 9);
  fork.threads = {worker(4711, "row-reader", "running")};
  fork.threads[0].held = 1;
  fork.threads_total = 2;
  HeldReport held;
  held.lock = orphaned_lock().lock;
  held.owner = 4711;
  held.acquired = frame("TableReader::read_row_group(int)", "reader.cpp", 88);
  fork.held = {held};
  fork.outcome = "deadlock";
  ForkReport other;
  other.id = 2;
  other.api = "vfork";
  other.pid = 4700;
  other.tid = 4700;
  other.outcome = "exit";
  other.status = 2;
  r.forks = {fork, other};
  r.findings = {orphaned_lock(), hazard()};
  r.not_observed = {{4713, "/bin/busybox", "is statically linked", 2}};
  r.summary.forks = 7;
  r.summary.execed = 1;
  r.summary.finished = 2;
  r.summary.deadlocked = 4;
  r.summary.hazards = 1;
  r.summary.failed = 1;
  return r;
}

std::vector<std::string> lines(const std::string& text) {
  std::vector<std::string> result;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) result.push_back(line);
  return result;
}

std::size_t widest(const std::string& text) {
  std::size_t width = 0;
  for (const std::string& line : lines(text)) width = std::max(width, line.size());
  return width;
}

}  // namespace

TEST_CASE("golden: an orphaned lock as text", "[print]") {
  check_golden("orphaned-lock.txt", finding_text(orphaned_lock(), {}));
}

TEST_CASE("golden: an orphaned lock on 80 columns in colour", "[print]") {
  check_golden("orphaned-lock-80-colour.txt", finding_text(orphaned_lock(), {true, false, 80}));
}

TEST_CASE("golden: an orphaned lock with its stacks", "[print]") {
  check_golden("orphaned-lock-v.txt", finding_text(orphaned_lock(), {false, true, 100}));
}

TEST_CASE("golden: a lost thread with its stacks", "[print]") {
  check_golden("lost-thread-v.txt", finding_text(lost_thread(), {false, true, 100}));
}

TEST_CASE("golden: a lost thread as text", "[print]") {
  check_golden("lost-thread.txt", finding_text(lost_thread(), {}));
}

TEST_CASE("golden: a hazard as text", "[print]") {
  check_golden("hazard.txt", finding_text(hazard(), {}));
}

TEST_CASE("golden: a child that died of missing memory as text", "[print]") {
  check_golden("missing-memory.txt", finding_text(missing_memory(), {}));
}

TEST_CASE("golden: a lock on a file as text", "[print]") {
  check_golden("shared-descriptor.txt", finding_text(shared_descriptor(), {}));
}

TEST_CASE("golden: a fork around the handlers as text", "[print]") {
  check_golden("fork-bypass.txt", finding_text(fork_bypass(), {}));
}

TEST_CASE("golden: a join that came back as text", "[print]") {
  check_golden("lost-join.txt", finding_text(lost_join(), {}));
}

TEST_CASE("golden: a lock in shared memory, missing memory and a file in JSON", "[print]") {
  Report report;
  report.findings = {missing_memory(), shared_descriptor(), fork_bypass()};
  report.findings[2].lock.shared = true;
  report.summary.apis = {{"fork", 3}, {"syscall(SYS_clone3)", 1}, {"vfork", 2}};
  report.summary.safe = 2;
  report.summary.died = 1;
  check_golden("report-inherited.json", report_json(report));
}

TEST_CASE("which forks are safe is told where it differs, and asked for", "[print]") {
  const TextOptions verbose{false, true, 100};
  Report report;
  report.summary.forks = 5;
  report.summary.apis = {{"fork", 3}, {"vfork", 2}};
  report.summary.safe = 2;
  CHECK_THAT(summary_text(report, verbose),
             Contains("2 of the 5 recorded forks cannot leave an orphaned lock (3 fork, 2 vfork)"));
  CHECK_THAT(summary_text(report, {}), !Contains("orphaned lock"));
  report.summary.safe = 0;
  CHECK_THAT(summary_text(report, verbose), !Contains("orphaned lock"));
  report.summary.safe = 5;
  CHECK_THAT(summary_text(report, verbose), !Contains("orphaned lock"));
}

TEST_CASE("a death is counted as one, not as a deadlock", "[print]") {
  Report report;
  report.findings = {missing_memory(), orphaned_lock()};
  CHECK_THAT(summary_text(report, {}), Contains("found 1 deadlock and 1 death by fork"));
}

TEST_CASE("golden: the end of a run", "[print]") {
  check_golden("summary.txt", summary_text(whole_report(), {}));
}

TEST_CASE("golden: the end of a run that lost records", "[print]") {
  Report report = whole_report();
  report.findings.clear();
  report.summary = {};
  report.summary.forks = 1;
  report.summary.running = 1;
  report.summary.unknown = 3;
  report.summary.unrecorded = 100;
  report.summary.signalled = 1;
  report.summary.notes = 2;
  report.summary.hazards = 1;
  report.summary.dropped_records = 12;
  report.summary.dropped_locks = 1;
  report.summary.dropped_threads = 5;
  report.summary.full_histories = 1;
  report.summary.abandoned_locks = 2;
  check_golden("summary-drops.txt",
               summary_text(report, {}) + summary_text(report, {false, true, 100}));
}

TEST_CASE("golden: a report as JSON", "[print]") {
  check_golden("report.json", report_json(whole_report()));
}

TEST_CASE("golden: an empty report as JSON", "[print]") {
  check_golden("report-empty.json", report_json({}));
}

TEST_CASE("a clean run takes one line", "[print]") {
  Report report;
  report.summary.forks = 3;
  report.summary.execed = 3;
  CHECK(summary_text(report, {}) == "forkscope: 3 forks: 3 exec'ed; no deadlock found\n");
  report.summary = {};
  CHECK(summary_text(report, {}) == "forkscope: 0 forks; no deadlock found\n");
}

TEST_CASE("every line of a finding is marked as forkscope's", "[print]") {
  for (const Finding& finding : {orphaned_lock(), lost_thread(), hazard(), missing_memory(),
                                 shared_descriptor(), fork_bypass(), lost_join()}) {
    const auto all = lines(finding_text(finding, {}));
    CHECK(all.at(0).starts_with("forkscope: "));
    for (std::size_t i = 1; i < all.size(); ++i) CHECK(all[i].starts_with("  "));
  }
}

TEST_CASE("blocks keep to the terminal's width", "[print]") {
  for (int width : {80, 100, 120}) {
    Finding finding = orphaned_lock();
    finding.waiter.stack.push_back(
        frame("void " + std::string(300, 'x') + "<int>::run(std::vector<int>)", "long.cpp", 7));
    for (const bool verbose : {false, true}) {
      const auto all = lines(finding_text(finding, {false, verbose, width}));
      for (std::size_t i = 1; i < all.size(); ++i) {
        CHECK(all[i].size() <= static_cast<std::size_t>(width));
      }
    }
    // Of who looks at them, the first line as well.
    finding.verdict += " of a table whose name is so long that the line would not have room for it";
    TextOptions bounded{false, false, width};
    bounded.bounded = true;
    CHECK(widest(finding_text(finding, bounded)) <= static_cast<std::size_t>(width));
  }
}

TEST_CASE("long stacks end with a count", "[print]") {
  const std::vector<Frame> stack(45, frame("f()", "f.cpp", 1));
  const std::string text = stack_lines(stack, 4, 100);
  CHECK(lines(text).size() == 21);
  CHECK_THAT(text, Contains("... 25 more (see --json)"));
  // One more would take the line that its announcement takes.
  CHECK_THAT(stack_lines(std::vector<Frame>(21, frame("f()", "f.cpp", 1)), 4, 100),
             !Contains("more"));
}

TEST_CASE("library internals and what runs before main are left out, numbers show where",
          "[print]") {
  Frame internal = frame("std::mutex::lock()", "std_mutex.h", 100);
  internal.file = "/usr/include/c++/12/bits/std_mutex.h";
  const std::vector<Frame> stack = {internal, frame("read()", "r.cpp", 1),
                                    frame("main", "m.cpp", 2),
                                    frame("__libc_start_call_main", "", 0), frame("_start", "", 0)};
  const auto shown = lines(stack_lines(stack, 4, 100));
  REQUIRE(shown.size() == 2);
  CHECK(shown[0].starts_with("    #1  read()"));
  CHECK(shown[1].starts_with("    #2  main"));
  CHECK(lines(stack_lines(stack, 4, 100, {true, 20})).size() == 5);
  // Better those than nothing.
  CHECK(lines(stack_lines({internal, internal}, 4, 100)).size() == 2);
}

TEST_CASE("a frame says what is known of it", "[print]") {
  CHECK(frame_words(frame("main", "main.cpp", 3), 100) ==
        "main  /home/user/table-reader/src/main.cpp:3  (parquet-lock)");
  CHECK(frame_words(frame("main", "main.cpp", 3), 40) == "main  main.cpp:3  (parquet-lock)");
  CHECK(frame_words(frame("main", "", 0), 100) == "main  (parquet-lock)");
  CHECK(frame_words(frame("", "", 0), 100) == "parquet-lock+0x1000");
  Frame unknown;
  unknown.address = 0x1234;
  CHECK(frame_words(unknown, 100) == "0x1234");
}

TEST_CASE("a name that is too long keeps its front", "[print]") {
  const std::string words = frame_words(frame(std::string(200, 'f'), "main.cpp", 3), 80);
  CHECK(words.size() == 80);
  CHECK(words.starts_with("ffffffff"));
  CHECK_THAT(words, Contains("fff...  main.cpp:3  (parquet-lock)"));
}

TEST_CASE("the observed program cannot steer the terminal", "[print]") {
  CHECK(printable("a\x1b[2Jb\n\r\x7f") == "a?[2Jb???");
  CHECK(printable("gr\xc3\xbc\xc3\x9f e \xe2\x82\xac \xf0\x9f\x94\x92") ==
        "gr\xc3\xbc\xc3\x9f e \xe2\x82\xac \xf0\x9f\x94\x92");
  CHECK(printable("\xc2\x9b"
                  "31m") == "??31m");
  CHECK(printable("cut\xe2\x82") == "cut??");
  CHECK(printable("\xc0\xaf\xff") == "???");
  Finding finding = orphaned_lock();
  finding.holder.name = "\x1b]0;evil\a";
  finding.program = "\x1b[31m";
  CHECK_THAT(finding_text(finding, {}), !Contains("\x1b"));
  for (Finding file : {shared_descriptor(), missing_memory()}) {
    file.lock.file = file.verdict = file.explanation = "/tmp/\x1b[2J";
    CHECK_THAT(finding_text(file, {}), !Contains("\x1b"));
  }
  Report report = whole_report();
  report.not_observed[0].path = "/tmp/\x1b[2J";
  CHECK_THAT(summary_text(report, {}), !Contains("\x1b"));
}

TEST_CASE("text is wrapped between words", "[print]") {
  CHECK(wrapped("one two three four five six", 2, 26) == "  one two three four five\n  six\n");
  const std::string word(60, 'w');
  CHECK(wrapped("a " + word + " b", 0, 30) == "a\n" + word + "\nb\n");
  CHECK(wrapped("", 4, 80).empty());
  CHECK(widest(wrapped(orphaned_lock().explanation, 4, 60)) <= 60);
}

TEST_CASE("colour is only used when asked for", "[print]") {
  CHECK_THAT(finding_text(orphaned_lock(), {}), !Contains("\x1b"));
  CHECK_THAT(finding_text(orphaned_lock(), {true, false, 100}), Contains("\x1b[1;31mDEADLOCK"));
}

TEST_CASE("invalid UTF-8 is replaced in JSON", "[print]") {
  Report report;
  report.command = {"bad\xff name", "tab\t"};
  const std::string json = report_json(report);
  CHECK_THAT(json, Contains("bad\xef\xbf\xbd name") && Contains("tab\\t"));
}
