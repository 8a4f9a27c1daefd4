// Joins, file locks, memory and the loader in forked children: what is recorded (session), where
// the report says it happened (JSON), and that the program ends as it does alone.
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "detector/record/session.hpp"
#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;
using namespace forkscope;

namespace {

struct Observed {
  Ended alone, ended;
  json report;
  Session session;

  bool as_alone() const {
    return ended.wait_status == alone.wait_status && ended.output == alone.output;
  }
  /// It does not go on about a child that ends well; but for the note that it starts a thread.
  bool silent() const {
    return std::all_of(session.findings.begin(), session.findings.end(), [](const auto& record) {
      return record.finding.evidence == record::Evidence::kForkedChild;
    });
  }
  const record::Finding& finding() const {
    REQUIRE(session.findings.size() == 1);
    return session.findings[0].finding;
  }
  /// The finding was taken back: the call returned.
  bool returned() const {
    return session.finding_ends.size() == 1 &&
           session.finding_ends[0].end.finding == finding().id &&
           session.finding_ends[0].end.outcome == record::Outcome::kAcquired;
  }
  std::string waiter() const { return names(report["findings"].at(0)["waiter"]["stack"]); }
  std::string acquired() const { return names(report["findings"].at(0)["holder"]["acquired"]); }

 private:
  static std::string names(const json& frames) {
    std::string all;
    for (const auto& frame : frames)
      if (frame["function"].is_string()) all += frame["function"].get<std::string>() + "\n";
    return all;
  }
};

using Prepare = std::function<void()>;

/// Runs the probe alone, then observed; `prepare` comes before each.
Observed observe(std::vector<std::string> arguments, const Prepare& prepare = {},
                 std::vector<std::string> options = {}) {
  TemporaryFolder folder;
  arguments.insert(arguments.begin(), FAULT_PROBE);
  Observed seen;
  if (options.empty()) seen.alone = run(arguments, {}, prepare);
  options.insert(options.end(),
                 {"--json", folder / "report.json", "--session=" + (folder / "session")});
  seen.ended = run(forkscope_run(options, arguments), {}, prepare);
  std::ifstream in(folder / "report.json");
  if (in) seen.report = json::parse(in);
  seen.session = read_session(folder / "session");
  return seen;
}

bool contains(const std::string& text, const char* part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a join of a thread that was not copied is told, by every call") {
  struct Case {
    const char* way;
    record::Call call;
  };
  for (const Case& one :
       {Case{"join", record::Call::kJoin}, Case{"tryjoin", record::Call::kTryjoin},
        Case{"timedjoin", record::Call::kTimedjoin}, Case{"clockjoin", record::Call::kClockjoin},
        Case{"thrd_join", record::Call::kThrdJoin}}) {
    INFO(one.way);
    Observed seen = observe({"join-lost", one.way});
    CHECK(seen.ended.exit() == 7);
    CHECK(seen.as_alone());
    const record::Finding& finding = seen.finding();
    CHECK(finding.kind == record::Kind::kLostThread);
    CHECK(finding.severity == record::Severity::kHazard);
    CHECK(finding.evidence == record::Evidence::kThreadGone);
    CHECK(finding.lock_type == record::LockType::kThread);
    CHECK(finding.call == one.call);
    CHECK(finding.holder_tid != 0);
    CHECK(std::string(finding.holder_name) == "worker-1");
    CHECK(seen.returned());
    CHECK(contains(seen.report["findings"][0]["holder"]["start"]["function"], "lost_work"));
    CHECK(contains(seen.waiter(), "join_in_child"));
  }
}

TEST_CASE("where at-fork handlers were passed by, a join of a lost thread is a deadlock") {
  Observed seen = observe({"join-without-handlers"}, {}, {"--on-deadlock=exit:86"});
  CHECK(seen.ended.exit() == 86);
  CHECK(seen.finding().severity == record::Severity::kDeadlock);
  CHECK(seen.finding().evidence == record::Evidence::kThreadGone);
}

TEST_CASE("joins that are right are not told") {
  // The child's own thread with the handle of a lost one; a thread that ended before the fork.
  for (const char* mode : {"join-reused-handle", "join-ended"}) {
    INFO(mode);
    Observed seen = observe({mode});
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.as_alone());
    CHECK(seen.silent());
  }
}

TEST_CASE("the roster shows who was joining") {
  Observed seen = observe({"fork-while-joining"});
  CHECK(seen.as_alone());
  REQUIRE(seen.session.findings.size() == 1);
  bool joining = false;
  for (const record::ThreadInfo& thread : seen.session.findings[0].threads)
    joining = joining ||
              (thread.state == record::ThreadState::kJoining &&
               thread.wait_object == seen.finding().lock && std::string(thread.name) == "joiner");
  CHECK(joining);
}

TEST_CASE("a child that unlocks or takes the parent's file lock is told, by every call") {
  struct Case {
    const char* way;
    record::LockType type;
    record::Call call;
  };
  for (const char* mode : {"unlock-parents", "ask-for-parents"}) {
    for (const Case& one : {Case{"flock", record::LockType::kFlock, record::Call::kFlock},
                            Case{"ofd", record::LockType::kOfdLock, record::Call::kFcntl},
                            Case{"record", record::LockType::kRecordLock, record::Call::kFcntl},
                            Case{"lockf", record::LockType::kRecordLock, record::Call::kLockf}}) {
      INFO(mode << " " << one.way);
      TemporaryFolder folder;
      std::string path = folder / "queue.lock";
      Observed seen = observe({mode, one.way, path});
      CHECK(seen.as_alone());
      const record::Finding& finding = seen.finding();
      CHECK(finding.kind == record::Kind::kSharedDescriptor);
      CHECK(finding.severity == record::Severity::kHazard);
      CHECK(finding.evidence == record::Evidence::kParentHolds);
      CHECK(finding.lock_type == one.type);
      CHECK(finding.call == one.call);
      CHECK(seen.session.findings[0].text == std::filesystem::canonical(path));
      struct stat info {};
      REQUIRE(stat(path.c_str(), &info) == 0);
      std::uint64_t identity[2];
      std::memcpy(identity, finding.lock_words, sizeof identity);
      CHECK(identity[0] == info.st_dev);
      CHECK(identity[1] == info.st_ino);
      CHECK(contains(seen.acquired(), "lock_file"));
      CHECK(contains(seen.waiter(), mode[0] == 'u' ? "unlock_parents" : "ask_for_parents"));
    }
  }
}

TEST_CASE("file locks that are none of the parent's are not told") {
  TemporaryFolder folder;
  std::string path = folder / "queue.lock";
  for (const std::vector<std::string>& mode :
       {std::vector<std::string>{"leave-parents", "flock", path},
        {"leave-parents", "ofd", path},
        {"hand-over", path},
        {"lock-other-bytes", path},
        {"file-calls", path}}) {
    INFO(mode[0] << " " << mode[1]);
    Observed seen = observe(mode);
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.as_alone());
    CHECK(seen.silent());
  }
}

TEST_CASE("a fault in memory that fork left out is explained, and stays the fault it is") {
  for (const char* mode :
       {"read-missing", "read-missing-by-number", "read-missing-in-grandchild"}) {
    INFO(mode);
    Observed seen = observe({mode});
    CHECK(seen.ended.exit() == 128 + SIGSEGV);
    CHECK(seen.as_alone());
    const record::Finding& finding = seen.finding();
    CHECK(finding.kind == record::Kind::kMissingMemory);
    CHECK(finding.severity == record::Severity::kDeadlock);
    CHECK(finding.evidence == record::Evidence::kFault);
    CHECK(finding.call == record::Call::kMemoryAccess);
    CHECK(finding.lock_words[0] == MADV_DONTFORK);
    CHECK(finding.range_end - finding.range_begin == 16 * 4096);
    CHECK(finding.lock >= finding.range_begin);
    CHECK(finding.lock < finding.range_end);
    CHECK(contains(seen.waiter(), "touch"));
    bool by_number = std::string(mode) == "read-missing-by-number";
    CHECK(contains(seen.acquired(), by_number ? "read_missing_by_number" : "mark"));
  }
}

TEST_CASE("a fault behind a pointer read from wiped memory is a hazard") {
  Observed seen = observe({"read-wiped"});
  CHECK(seen.ended.exit() == 128 + SIGSEGV);
  CHECK(seen.as_alone());
  CHECK(seen.finding().kind == record::Kind::kMissingMemory);
  CHECK(seen.finding().severity == record::Severity::kHazard);
  CHECK(seen.finding().evidence == record::Evidence::kPointsThere);
  CHECK(seen.finding().lock_words[0] == MADV_WIPEONFORK);
  CHECK(contains(seen.waiter(), "read_wiped"));
}

TEST_CASE("memory that is there, other faults and signals that were sent are not told") {
  for (const std::vector<std::string>& mode : {std::vector<std::string>{"read-present"},
                                               {"fault-at-null"},
                                               {"sent-signal", "raise"},
                                               {"sent-signal", "kill"},
                                               {"sent-signal", "queue"},
                                               {"sent-signal", "abort"}}) {
    INFO(mode.back());
    Observed seen = observe(mode);
    CHECK(seen.as_alone());
    CHECK(seen.silent());
  }
}

TEST_CASE("the program's own handler is called as ever") {
  for (const char* when : {"before", "after"}) {
    Observed seen = observe({"own-action", when});
    CHECK(seen.ended.exit() == 9);
    CHECK(seen.as_alone());
    CHECK(seen.silent());
  }
}

TEST_CASE("the program sees the default action where it left it") {
  Observed seen = observe({"print-actions"});
  CHECK(contains(seen.ended.output, "sigaction: default, flags 0x"));
  CHECK(contains(seen.ended.output, "sigset: 1, then 1"));
  CHECK(seen.as_alone());
}

TEST_CASE("a fork during dlopen is told at the dlopen that the child dies of") {
  TemporaryFolder folder;
  std::string fifo = folder / "libfault_needed.so";
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  Observed seen = observe({"fork-in-dlopen", FAULT_PLUGIN, fifo, "libm.so.6"},
                          [&] { setenv("LD_LIBRARY_PATH", folder.path().c_str(), 1); });
  CHECK(seen.ended.exit() == 127);
  CHECK(seen.as_alone());
  const record::Finding& finding = seen.finding();
  CHECK(finding.kind == record::Kind::kLibcLock);
  CHECK(finding.evidence == record::Evidence::kLoaderState);
  CHECK(finding.lock_type == record::LockType::kLoader);
  CHECK(finding.call == record::Call::kDlopen);
  CHECK(std::string(finding.holder_name) == "loading");
  CHECK(seen.session.finding_ends.empty());
  CHECK(contains(seen.acquired(), "load_plugin"));
  CHECK(contains(seen.waiter(), "load_in_child"));
}

TEST_CASE("dlopen and dlmopen search where their caller's RUNPATH says") {
  Observed seen = observe({"load-by-runpath", "libfault_plugin.so"});
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.as_alone());
  CHECK(seen.silent());
}
