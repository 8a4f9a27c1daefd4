// Programs under `forkscope run`, whole: what is found in them and that they do what they do alone.
#include <sys/mount.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

constexpr int kDeadlock = 86;

struct Observed {
  Ended ended;
  json report;

  std::vector<std::string> kinds(const std::string& severity) const {
    std::vector<std::string> found;
    for (const auto& finding : report["findings"])
      if (finding["severity"] == severity) found.push_back(finding["kind"]);
    return found;
  }
  bool deadlocked() const {
    return ended.exit() == kDeadlock &&
           kinds("deadlock") == std::vector<std::string>{"orphaned-lock"};
  }
};

/// Runs `command` so that a deadlocked child exits with kDeadlock, which the probes pass on.
Observed observe(const std::vector<std::string>& command, std::vector<std::string> options = {}) {
  TemporaryFolder folder;
  std::string file = folder / "report.json";
  options.insert(options.end(), {"--json", file, "--on-deadlock=exit:86"});
  Observed observed{run(forkscope_run(options, command)), {}};
  std::ifstream in(file);
  if (in) observed.report = json::parse(in);
  return observed;
}

std::vector<std::string> shim_probe(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), SHIM_PROBE);
  return arguments;
}

std::string outcome_of(const json& report, std::size_t fork) {
  return report["forks"].at(fork)["outcome"];
}

}  // namespace

TEST_CASE("every way to copy a process leads to the verdict") {
  for (const char* mode : {"deadlock", "clone", "_Fork", "forkpty", "fork-from-thread"}) {
    INFO(mode);
    Observed seen = observe(shim_probe({mode}));
    CHECK(seen.deadlocked());
    REQUIRE(!seen.report["findings"].empty());  // _Fork and clone: the bypass, too, as a note
    CHECK(seen.report["findings"][0]["holder"]["name"] == "holder");
    CHECK(seen.report["findings"][0]["lock"]["symbol"].get<std::string>().find("resource") !=
          std::string::npos);
  }
}

TEST_CASE("closed and reused descriptors lose nothing") {
  CHECK(observe(shim_probe({"without-descriptors"})).deadlocked());
}

TEST_CASE("chroot, another user and no environment lose nothing") {
  if (geteuid() != 0) {
    WARN("skipped: needs root for chroot");
    return;
  }
  CHECK(observe(shim_probe({"in-a-jail"})).deadlocked());
}

TEST_CASE("an exec with an empty environment stays observed") {
  CHECK(observe(shim_probe({"exec-clean", SHIM_PROBE, "deadlock"})).deadlocked());
  CHECK(observe(shim_probe({"spawn", SHIM_PROBE, "deadlock"})).deadlocked());
}

TEST_CASE("a user's own LD_PRELOAD survives") {
  auto alone = run({"/usr/bin/env", "LD_PRELOAD=" PRELOADED_TOO, SHIM_PROBE, "environment"});
  auto seen = run(forkscope_run({}, {SHIM_PROBE, "environment"}), {},
                  [] { setenv("LD_PRELOAD", PRELOADED_TOO, 1); });
  CHECK(seen.output.find(":" PRELOADED_TOO "\n") != std::string::npos);
  CHECK(alone.exit() == seen.exit());
}

TEST_CASE("the exec family works, each by its own name") {
  Observed seen = observe(shim_probe({"exec-each-way", SHIM_PROBE, "nothing"}));
  CHECK(seen.ended.exit() == 0);
  REQUIRE(seen.report["forks"].size() == 8);
  for (std::size_t i = 0; i < 8; ++i) CHECK(outcome_of(seen.report, i) == "exec");
  CHECK(observe(shim_probe({"exec-fails"})).ended.exit() == 0);
}

TEST_CASE("a thousand vforks leave the parent as it was") {
  Observed seen = observe(shim_probe({"vfork-often", SHIM_PROBE, "nothing"}));
  CHECK(seen.ended.exit() == 0);
  REQUIRE(seen.report["forks"].size() == 1000);
  CHECK(seen.report["forks"][0]["api"] == "vfork");
  CHECK(seen.report["summary"]["execed"] == 1000);
  CHECK(seen.report["findings"].empty());
}

TEST_CASE("system and popen run what they run") {
  CHECK(observe(shim_probe({"shell", "exit 3"})).ended.exit() == 6);
}

TEST_CASE("locks protected or repaired by at-fork handlers are no findings") {
  for (const char* mode : {"protected-lock", "repaired-lock", "cancelled-wait"}) {
    INFO(mode);
    Observed seen = observe(shim_probe({mode}));
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.kinds("deadlock").empty());
    CHECK(seen.kinds("latent").empty());
  }
}

TEST_CASE("locks that somebody else can still give back are no deadlocks") {
  for (const char* mode : {"recursive-in-clone", "opened-by-another-thread"}) {
    INFO(mode);
    CHECK(run(shim_probe({mode})).exit() == 0);
    Observed seen = observe(shim_probe({mode}));
    CHECK(seen.ended.exit() == 0);
    CHECK(seen.kinds("deadlock").empty());
  }
}

TEST_CASE("sandboxes, limits and bad pointers end as they do alone") {
  for (const char* mode : {"sandboxed", "small-address-space", "bad-pointers"}) {
    INFO(mode);
    CHECK(run(shim_probe({mode})).exit() == 0);
    CHECK(observe(shim_probe({mode})).ended.exit() == 0);
  }
}

TEST_CASE("trylock on an orphaned lock is a hazard, not a deadlock") {
  Observed seen = observe(shim_probe({"only-tries"}));
  CHECK(seen.ended.exit() == 0);
  CHECK(seen.kinds("deadlock").empty());
  CHECK(seen.kinds("hazard") == std::vector<std::string>{"orphaned-lock"});
}

TEST_CASE("errno is what the program left in it") {
  CHECK(observe(shim_probe({"keeps-errno"})).ended.exit() == 0);
}

TEST_CASE("programs that cannot be preloaded run and are named") {
  struct Case {
    const char* program;
    const char* reason;
  };
  for (const Case& one : {Case{SHIM_STATIC, "static"}, Case{SHIM_MUSL, "libc"}}) {
    if (*one.program == '\0') {
      WARN("skipped: no musl-gcc here");
      continue;
    }
    for (const char* way : {"exec-clean", "spawn"}) {
      Observed seen = observe(shim_probe({way, one.program, "exit", "7"}));
      INFO(way << " " << one.program << "\n" << seen.ended.errors);
      CHECK(seen.ended.exit() == 7);
      CHECK(seen.ended.output.empty());
      REQUIRE(seen.report["not_observed"].size() == 1);
      CHECK(seen.report["not_observed"][0]["path"] == one.program);
      CHECK(seen.report["not_observed"][0]["reason"].get<std::string>().find(one.reason) !=
            std::string::npos);
    }
  }
}

TEST_CASE("a full disk disturbs nobody: what finds no room is dropped and counted") {
  TemporaryFolder folder;
  if (mount("tmpfs", folder.path().c_str(), "tmpfs", 0, "size=10m") != 0) {
    WARN("skipped: cannot mount a small tmpfs here");
    return;
  }
  Ended ended = run(forkscope_run({"--session=" + (folder / "session")},
                                  shim_probe({"vfork-often", "/bin/true"})));
  std::ofstream(folder / "filler") << std::string(8 << 20, 'x');
  Ended full = run(forkscope_run({"--session=" + (folder / "other")}, shim_probe({"nothing"})));
  umount2(folder.path().c_str(), MNT_DETACH);
  CHECK(ended.exit() == 0);
  CHECK(full.one_sentence_with("No space left"));
  CHECK(full.exit() == 125);
}

TEST_CASE("without the command, findings go to standard error as addresses") {
  Ended ended = run({"/usr/bin/env", "LD_PRELOAD=" FORKSCOPE_PRELOAD,
                     "FORKSCOPE_OPTIONS=on_deadlock=exit:86", SHIM_PROBE, "deadlock"});
  CHECK(ended.exit() == kDeadlock);
  CHECK(ended.errors.find("forkscope: DEADLOCK in process") == 0);
  CHECK(ended.errors.find("the program+0x") != std::string::npos);
}

TEST_CASE("without the command, a session folder keeps the records for `forkscope report`") {
  TemporaryFolder folder;
  Ended ended = run({"/usr/bin/env", "LD_PRELOAD=" FORKSCOPE_PRELOAD,
                     "FORKSCOPE_OPTIONS=log=none:on_deadlock=kill:session=" + folder.path(),
                     SHIM_PROBE, "deadlock"});
  CHECK(ended.exit() == 128 + 9);
  CHECK(ended.errors.empty());
  Ended report = run({FORKSCOPE_EXE, "report", folder.path(), "--json", "-"});
  CHECK(report.exit() == 0);
  CHECK(json::parse(report.output)["findings"].size() == 1);
}

TEST_CASE("options that cannot be understood end the program before it starts") {
  for (const char* options : {"sessions=/tmp", "on_deadlock=explode", "log"}) {
    Ended ended = run({"/usr/bin/env", "LD_PRELOAD=" FORKSCOPE_PRELOAD,
                       std::string("FORKSCOPE_OPTIONS=") + options, "/bin/echo", "started"});
    CHECK(ended.exit() == 125);
    CHECK(ended.output.empty());
    CHECK(ended.one_sentence_with("FORKSCOPE_OPTIONS"));
  }
}

TEST_CASE("the acquisition stack is whole at every optimisation level") {
  for (const char* program : {STACK_PROBE_O0, STACK_PROBE_O2, STACK_PROBE_FP}) {
    for (const char* way : {"lock_guard", "unique_lock", "deferred_lock", "scoped_lock", "wrapper",
                            "trylock", "condition"}) {
      INFO(program << " " << way);
      TemporaryFolder folder;
      std::string file = folder / "report.json";
      Ended ended = run(forkscope_run({"--json", file, "--on-deadlock=kill"}, {program, way}));
      CHECK(ended.exit() == 0);
      std::ifstream in(file);
      json report = json::parse(in);
      REQUIRE(report["findings"].size() == 1);
      std::string names;
      for (const auto& frame : report["findings"][0]["holder"]["acquired"])
        names +=
            frame["function"].is_string() ? frame["function"].get<std::string>() + "\n" : "?\n";
      INFO(names);
      std::size_t taken = names.find(std::string("with_") + way);
      std::size_t middle = names.find("middle("), outer = names.find("outermost(");
      CHECK(taken != std::string::npos);
      CHECK(middle != std::string::npos);
      CHECK(outer != std::string::npos);
      CHECK((taken < middle && middle < outer));
      if (std::string(way) == "wrapper") CHECK(names.find("my_lock") < taken);
    }
  }
}
