// Every way to create a process, under `forkscope run`: named with its caller in the report, and
// the program gets what it gets alone.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

struct Observed {
  Ended ended;
  json report;

  /// The fork by this interface, null when there is not exactly one.
  json fork_by(const std::string& api) const {
    json found;
    int count = 0;
    for (const auto& fork : report["forks"])
      if (fork["api"] == api && ++count == 1) found = fork;
    return count == 1 ? found : json();
  }
};

/// A deadlocked child exits with 86, which the probe passes on.
Observed observe(const std::vector<std::string>& command, const char* preloaded = nullptr) {
  TemporaryFolder folder;
  std::string file = folder / "report.json";
  auto prepare = [&] {
    if (preloaded != nullptr) setenv("LD_PRELOAD", preloaded, 1);
  };
  Observed observed{
      run(forkscope_run({"--json", file, "--verbose", "--on-deadlock=exit:86"}, command), {},
          prepare),
      {}};
  std::ifstream in(file);
  if (in) observed.report = json::parse(in);
  return observed;
}

std::string function_of(const json& frame) {
  return frame.is_object() && frame["function"].is_string() ? frame["function"].get<std::string>()
                                                            : "";
}

struct Way {
  const char* name;
  const char* api;
};
constexpr Way kWays[] = {
    {"fork", "fork"},
    {"__fork", "fork"},
    {"_Fork", "_Fork"},
    {"vfork", "vfork"},
    {"__vfork", "vfork"},
    {"clone", "clone"},
    {"clone_vm", "clone(CLONE_VM)"},
    {"clone_vfork", "clone(CLONE_VM)"},
    {"syscall_fork", "syscall(SYS_fork)"},
    {"syscall_vfork", "syscall(SYS_vfork)"},
    {"syscall_clone", "syscall(SYS_clone)"},
    {"syscall_clone_stack", "syscall(SYS_clone)"},
    {"syscall_clone_vm", "syscall(SYS_clone, CLONE_VM)"},
    {"syscall_clone_vm_stack", "syscall(SYS_clone, CLONE_VM)"},
    {"syscall_clone3", "syscall(SYS_clone3)"},
    {"syscall_clone3_vm", "syscall(SYS_clone3, CLONE_VM)"},
    {"posix_spawn", "posix_spawn"},
    {"posix_spawnp", "posix_spawnp"},
    {"system", "system"},
    {"popen", "popen"},
    {"wordexp", "wordexp"},
    {"forkpty", "forkpty"},
    {"daemon", "daemon"},
};

/// libc's syscall() keeps its return address on the stack that such a child uses and overwrites:
/// alone, the program crashes.
bool works_alone(const Way& way) {
  const std::string name = way.name;
  return name != "syscall_vfork" && name != "syscall_clone_vm" && name != "syscall_clone3_vm";
}

}  // namespace

TEST_CASE("each way to create a process is named with its caller, and its child ends as alone") {
  for (const Way& way : kWays) {
    INFO(way.name);
    if (works_alone(way)) CHECK(run({PROCESS_PROBE, "once", way.name}).exit() == 0);
    Observed seen = observe({PROCESS_PROBE, "once", way.name});
    CHECK(seen.ended.exit() == 0);
    json fork = seen.fork_by(way.api);
    REQUIRE(fork.is_object());
    CHECK(function_of(fork["caller"]).find(std::string("by_") + way.name) == 0);
    CHECK(seen.report["findings"].empty());
    CHECK(seen.report["summary"]["failed"] == 0);
  }
}

TEST_CASE("children whose end their parent sees are reported with it") {
  for (const char* name :
       {"fork", "_Fork", "vfork", "clone", "clone_vm", "syscall_fork", "syscall_vfork",
        "syscall_clone_stack", "syscall_clone3_vm", "forkpty"}) {
    INFO(name);
    Observed seen = observe({PROCESS_PROBE, "once", name});
    REQUIRE(seen.report["forks"].size() == 1);
    CHECK(seen.report["forks"][0]["outcome"] == "exit");
    CHECK(seen.report["forks"][0]["status"] == 7);
    CHECK(seen.report["forks"][0]["child"].get<int>() > 0);
  }
}

TEST_CASE("a thousand children in the parent's memory leave its stack as it was") {
  for (const char* name : {"vfork", "__vfork", "syscall_vfork", "syscall_clone_vm",
                           "syscall_clone3_vm", "clone_vfork", "syscall_clone_vm_stack"}) {
    INFO(name);
    Observed seen = observe({PROCESS_PROBE, "often", name});
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.report["forks"].size() == 1000);
    CHECK(seen.report["findings"].empty());
  }
}

TEST_CASE("calls that create no process say so, and are counted as failures") {
  Ended alone = run({PROCESS_PROBE, "fail"});
  Observed seen = observe({PROCESS_PROBE, "fail"});
  REQUIRE(alone.exit() == 0);
  CHECK(alone.output.find("vfork: -1, Resource temporarily unavailable") != std::string::npos);
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.ended.output == alone.output);
  CHECK(seen.report["forks"].empty());
  CHECK(seen.report["summary"]["forks"] == 0);
  // wordexp does not say why it has no result.
  CHECK(seen.report["summary"]["failed"] == std::size(kWays) - 1);
}

TEST_CASE("syscall() passes arguments, results and errno") {
  CHECK(run({PROCESS_PROBE, "arguments"}).exit() == 0);
  Observed seen = observe({PROCESS_PROBE, "arguments"});
  CHECK(seen.ended.exit() == 0);
  REQUIRE(seen.report["forks"].size() == 3);
  CHECK(seen.report["forks"][0]["outcome"] == "exit");
  CHECK(seen.report["forks"][0]["status"] == 9);
  CHECK(seen.report["forks"][1]["status"] == 8);
  CHECK(seen.report["forks"][2]["outcome"] == "exec");
}

TEST_CASE("a shell's programs are observed although the environment was cleared") {
  Observed seen = observe({PROCESS_PROBE, "cleared", PROCESS_PROBE});
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.fork_by("system").is_object());
  CHECK(function_of(seen.fork_by("fork")["caller"]).find("by_fork") == 0);
}

TEST_CASE("a vfork of another library is jumped to, and its child told from its parent") {
  Observed seen = observe({PROCESS_PROBE, "often", "vfork"}, OTHER_VFORK);
  CHECK(seen.ended.exit() == 0);
  REQUIRE(seen.report["forks"].size() == 1000);
  CHECK(seen.report["forks"][999]["status"] == 7);
  seen = observe({VFORK_PROBE, "vfork-clean"}, OTHER_VFORK);
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.report["findings"].empty());
  seen = observe({VFORK_PROBE, "vfork-locks"}, OTHER_VFORK);
  CHECK(seen.ended.exit() == 0);
  REQUIRE(seen.report["findings"].size() == 1);
  CHECK(seen.report["findings"][0]["waiter"]["call"] == "pthread_mutex_lock");
}

TEST_CASE("a vfork child that execs or exits is no finding") {
  for (const char* mode : {"vfork-clean", "vfork-exec-fails"}) {
    INFO(mode);
    Observed seen = observe({VFORK_PROBE, mode});
    CHECK(seen.ended.exit() == 0);
    REQUIRE(seen.report["forks"].size() == 1);
    CHECK(seen.report["findings"].empty());
  }
}

TEST_CASE("a vfork child that does more is a note with the call it made, once") {
  struct Case {
    const char* mode;
    const char* call;
    std::size_t forks;
  };
  for (const Case& one :
       {Case{"vfork-locks", "pthread_mutex_lock", 1}, Case{"vfork-forks", "fork", 2},
        Case{"vfork-vforks", "vfork", 2}, Case{"vfork-spawns", "posix_spawn", 2},
        Case{"vfork-starts-thread", "pthread_create", 1}}) {
    INFO(one.mode);
    Observed seen = observe({VFORK_PROBE, one.mode});
    CHECK(seen.ended.exit() == 0);
    REQUIRE(seen.report["findings"].size() == 1);
    const json& finding = seen.report["findings"][0];
    INFO(finding.dump(1));
    int named = 0;
    CHECK(finding["severity"] == "note");
    CHECK(finding["kind"] == "unsafe-call");
    CHECK(finding["count"] == 1);
    CHECK(finding["waiter"]["call"] == one.call);
    REQUIRE(!finding["waiter"]["stack"].empty());
    CHECK(function_of(finding["waiter"]["stack"][0]).find("vfork_") != std::string::npos);
    REQUIRE(seen.report["forks"].size() == one.forks);
    for (const auto& fork : seen.report["forks"])
      if (fork["id"] == finding["fork"]) {
        CHECK(fork["api"] == "vfork");
        CHECK(fork["child"] == finding["process"]);
        CHECK(fork["pid"] != finding["process"]);
        ++named;
      }
    CHECK(named == 1);
  }
}

TEST_CASE("an untimed futex wait by number that nobody is left to end is a deadlock") {
  for (const char* mode : {"futex-lost", "futex-lost-bitset"}) {
    INFO(mode);
    Observed seen = observe({VFORK_PROBE, mode});
    CHECK(seen.ended.exit() == 86);
    REQUIRE(seen.report["findings"].size() == 1);
    const json& finding = seen.report["findings"][0];
    CHECK(finding["severity"] == "deadlock");
    CHECK(finding["kind"] == "lost-thread");
    CHECK(finding["lock"]["type"] == "futex word");
    CHECK(finding["holder"]["name"] == "waker");
    CHECK(function_of(finding["waiter"]["stack"][0]).find("futex") != std::string::npos);
  }
}

TEST_CASE("futex waits that somebody else ends, or that do not wait, are none") {
  for (const char* mode : {"futex-shared", "futex-returns", "futex-roster"}) {
    INFO(mode);
    CHECK(run({VFORK_PROBE, mode}).exit() == 0);
    Observed seen = observe({VFORK_PROBE, mode});
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.report["findings"].empty());
  }
}

TEST_CASE("a thread inside a futex wait by number is listed so") {
  Observed seen = observe({VFORK_PROBE, "futex-roster"});
  REQUIRE(seen.report["forks"].size() == 1);
  bool listed = false;
  for (const auto& thread : seen.report["forks"][0]["threads"])
    if (thread["name"] == "sleeper")
      listed = thread["state"].get<std::string>().find("futex") != std::string::npos &&
               !thread["wait_object"].is_null();
  CHECK(listed);
}
