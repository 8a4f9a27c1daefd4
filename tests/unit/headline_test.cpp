// The first line of a finding: the user's own line, the library by its name, what fork did to it.
#include <catch2/catch.hpp>

#include "detector/report/print.hpp"
#include "detector/verdict/code_origin.hpp"
#include "detector/verdict/headline.hpp"

using namespace forkscope;
using Catch::Contains;

namespace {

constexpr const char* kSite = "/venv/lib/python3.11/site-packages/";

PythonFrame python(const std::string& function, const std::string& file, int line) {
  PythonFrame frame;
  frame.function = function;
  frame.file = file;
  frame.line = line;
  return frame;
}

Frame native(const std::string& function, const std::string& module, const std::string& file = "",
             int line = 0) {
  Frame frame;
  frame.address = 0x1000;
  frame.function = function;
  frame.module = module;
  frame.file = file;
  frame.line = line;
  return frame;
}

ThreadReport thread(std::int32_t tid, const std::string& name) {
  ThreadReport report;
  report.tid = tid;
  report.name = name;
  return report;
}

const std::string kExtension = std::string(kSite) + "_polars_runtime/_polars_runtime.abi3.so";

/// A filter in a forked worker: polars waits for its pool.
Finding polars() {
  Finding f;
  f.kind = "lost-thread";
  f.severity = "deadlock";
  f.process = 4711;
  f.program = "worker";
  f.verdict = "waits for ever on Rust Condvar at 0x7f00 for a thread that fork did not copy";
  f.library = "polars 1.9.0";
  f.waiter.tid = 4711;
  f.waiter.python = {python("LazyFrame.collect", std::string(kSite) + "polars/lazyframe/frame.py", 7),
                     python("deprecate.<locals>.wrapper", std::string(kSite) + "polars/_utils.py", 8),
                     python("DataFrame.filter", std::string(kSite) + "polars/dataframe.py", 9),
                     python("work", "/srv/app/jobs.py", 41),
                     python("BaseProcess.run", "/usr/lib/python3.11/multiprocessing/process.py", 1),
                     python("<module>", "/srv/app/main.py", 3)};
  f.waiter.stack = {native("syscall", "/usr/lib/x86_64-linux-gnu/libc.so.6"),
                    native("rayon_core::latch::wait", kExtension)};
  f.lost = {thread(1, "polars-0"), thread(2, "polars-1"), thread(3, "polars-2")};
  return f;
}

}  // namespace

TEST_CASE("the headline names the user's line and what it calls, before the library",
          "[headline]") {
  Finding f = polars();
  CHECK(headline_words(f) ==
        "worker (pid 4711) hangs at app/jobs.py:41 in DataFrame.filter: polars 1.9.0 waits for a "
        "thread that was not copied by fork()");
  SECTION("threads are the library's own only where they are seen in its code") {
    f.lost[0].start = native("start", kExtension);
    CHECK_THAT(headline_words(f), Contains(": the threads of polars 1.9.0 were not copied by fork()"));
    f.lost[0].start = native("start", "/srv/app/other.so");
    CHECK_THAT(headline_words(f), !Contains("the threads of"));
  }
  SECTION("without a library's name the verdict stays") {
    f.library.clear();
    CHECK_THAT(headline_words(f), Contains("DataFrame.filter: waits for ever on Rust Condvar"));
  }
  SECTION("a frame of the user's own that calls nothing") {
    f.waiter.python = {python("work", "/srv/app/jobs.py", 41)};
    CHECK_THAT(headline_words(f), Contains("at app/jobs.py:41 in work: "));
  }
  SECTION("no frame of the user's own") {
    f.waiter.python.resize(3);
    f.waiter.stack.resize(1);
    CHECK_THAT(headline_words(f), Contains("worker (pid 4711) hangs: "));
  }
}

TEST_CASE("the headline says how certain it is", "[headline]") {
  Finding f = polars();
  CHECK_THAT(headline_words(f), Contains(") hangs at "));
  f.severity = "hazard";
  f.certainty = "probable";
  CHECK_THAT(headline_words(f), Contains(") probably hangs at "));
  f.outcome = "came back";
  CHECK(headline_words(f) == "worker (pid 4711) " + f.verdict);
  f.outcome = "blocked";
  f.certainty = "proven";
  f.severity = "latent";
  CHECK_THAT(headline_words(f), Contains(") can hang at "));
  // No hang, and not called one.
  f.severity = "hazard";
  CHECK_THAT(headline_words(f), !Contains("hang"));
  f.severity = "deadlock";
  f.died = true;
  CHECK(headline_words(f) == "worker (pid 4711) " + f.verdict);
}

TEST_CASE("a lock's holder is named where it is known, and who waited last is no holder",
          "[headline]") {
  Finding f;
  f.kind = "orphaned-lock";
  f.severity = "deadlock";
  f.process = 12;
  f.verdict = "waits for ever for mutex queue_lock";
  f.lock.type = "mutex";
  f.lock.symbol = "queue_lock";
  f.holder.tid = 11;
  f.holder.name = "reader";
  f.waiter.stack = {native("std::mutex::lock()", "/srv/bin/app",
                           "/usr/include/c++/12/bits/std_mutex.h", 100),
                    native("take(int)", "/srv/bin/app", "/home/u/app/src/queue.cpp", 30)};
  CHECK(headline_words(f) ==
        "process 12 hangs at src/queue.cpp:30 in take(int): mutex queue_lock was held by thread 11 "
        "(reader) at the fork");
  f.evidence = "waited-last";
  CHECK_THAT(headline_words(f), Contains(": waits for ever for mutex queue_lock"));
}

TEST_CASE("of libraries the one is named that the user's line calls", "[headline]") {
  const auto files = library_files(polars());
  REQUIRE(files.size() == 4);
  CHECK(files.front() == std::string(kSite) + "polars/dataframe.py");
  CHECK(files.back() == kExtension);
}

TEST_CASE("whose code a file is is judged by where it is installed", "[headline]") {
  CHECK(code_origin(native("f", "/srv/app/lib/libown.so")) == Origin::kOwn);
  CHECK(code_origin(native("f", "/usr/lib/postgresql/15/bin/postgres")) == Origin::kOwn);
  CHECK(code_origin(native("f", "/usr/lib/x86_64-linux-gnu/libssl.so.3")) == Origin::kInstalled);
  CHECK(code_origin(native("f", kExtension)) == Origin::kInstalled);
  CHECK(code_origin(native("f", "/usr/lib/python3.11/lib-dynload/_ssl.so")) != Origin::kOwn);
  CHECK(code_origin(native("f", "/usr/bin/python3.11")) == Origin::kStandard);
  CHECK(code_origin(native("f", "[vdso]")) == Origin::kStandard);
  CHECK(code_origin(native("f", "")) == Origin::kStandard);
}

TEST_CASE("threads of one pool are one entry", "[headline]") {
  CHECK(thread_groups(polars().lost) == std::vector<std::string>{"polars-0 and 2 more"});
  CHECK(thread_groups({thread(7, ""), thread(8, "log"), thread(9, "")}) ==
        std::vector<std::string>{"thread 7 and 1 more", "log"});
}

TEST_CASE("a finding takes fifteen lines at most, and -v has its stacks", "[headline]") {
  Finding f = polars();
  for (int i = 0; i < 40; ++i) {
    f.waiter.stack.push_back(native("inner", kExtension));
    f.fork_stack.push_back(native("outer", kExtension));
    f.lost.push_back(thread(100 + i, "polars-" + std::to_string(i)));
  }
  f.explanation = "It has one thread.";
  f.cure = "Use multiprocessing.get_context(\"spawn\").";
  const std::string brief = finding_text(f, {});
  CHECK(std::count(brief.begin(), brief.end(), '\n') <= 15);
  CHECK_THAT(brief, Contains("polars-0 and 42 more") && !Contains("It has one thread"));
  TextOptions options;
  options.verbose = true;
  CHECK_THAT(finding_text(f, options), Contains("It has one thread") && Contains("#3  inner"));
}

TEST_CASE("a report that found something ends with the line that sanitizers end with",
          "[headline]") {
  Report report;
  report.findings = {polars(), polars()};
  CHECK_THAT(summary_text(report, {}),
             Catch::EndsWith("\nSUMMARY: forkscope: deadlock (lost-thread) app/jobs.py:41 in "
                             "DataFrame.filter and 1 more\n"));
  for (Finding& finding : report.findings) finding.known = true;
  CHECK_THAT(summary_text(report, {}), !Contains("SUMMARY"));
  report.findings = {polars()};
  report.findings[0].severity = "note";
  CHECK_THAT(summary_text(report, {}), !Contains("SUMMARY"));
}

TEST_CASE("a hazard that is the same event as a deadlock is not counted again", "[headline]") {
  Report report;
  report.findings = {polars(), polars()};
  for (Finding& finding : report.findings) {
    finding.kind = "orphaned-lock";
    finding.fork = 1;
    finding.lock.address = 0x5000;
  }
  report.findings[1].severity = "hazard";
  report.summary.hazards = 1;
  CHECK_THAT(summary_text(report, {}), !Contains("1 hazard"));
  report.findings[1].fork = 2;  // another child, which went on
  CHECK_THAT(summary_text(report, {}), Contains("1 hazard"));
}

TEST_CASE("children that still hang are named, those that were ended are not", "[headline]") {
  Report report;
  report.forks.resize(3);
  for (std::size_t i = 0; i < 3; ++i) {
    report.forks[i].child = 101 + static_cast<std::int32_t>(i);
    report.forks[i].outcome = "deadlock";
  }
  CHECK_THAT(summary_text(report, {}), !Contains("still hang"));
  report.forks[1].still_there = true;
  CHECK_THAT(summary_text(report, {}), Contains("forkscope: a child still hangs: 102\n"));
  report.forks[2].still_there = true;
  CHECK_THAT(summary_text(report, {}), Contains("forkscope: children still hang: 102, 103\n"));
  report.forks[2].outcome = "running";
  CHECK_THAT(summary_text(report, {}), Contains("forkscope: a child still hangs: 102\n"));
}
