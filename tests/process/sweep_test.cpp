// `forkscope sweep` over programs of known behaviour.
#include <signal.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

std::vector<std::string> sweep(const std::vector<std::string>& options,
                               const std::vector<std::string>& command) {
  std::vector<std::string> all{FORKSCOPE_EXE, "sweep"};
  all.insert(all.end(), options.begin(), options.end());
  all.push_back("--");
  all.insert(all.end(), command.begin(), command.end());
  return all;
}

json table_in(const std::string& folder, const std::vector<std::string>& command) {
  // They mostly wait: more at once than there are processors.
  const Ended ended = run(sweep({"--jobs=4", "--folder", folder, "--json=-"}, command));
  INFO(ended.errors);
  REQUIRE(ended.exit() == 0);
  return json::parse(ended.output);
}

/// Result by the words on the lock.
std::map<std::string, std::string> results(const json& table) {
  std::map<std::string, std::string> results;
  for (const json& row : table["rows"])
    results[row["lock"].get<std::string>()] = row["result"].get<std::string>();
  return results;
}

const std::map<std::string, std::string> kProbeResults = {
    {"mutex (anonymous namespace)::setup_lock (sweep_probe)", "not reached"},
    {"mutex (anonymous namespace)::orders_lock (sweep_probe)", "deadlocked"},
    {"mutex (anonymous namespace)::metrics_lock (sweep_probe)", "survived"},
    {"mutex (anonymous namespace)::guarded_lock (sweep_probe)", "protected"},
    {"mutex, taken in (anonymous namespace)::use_session (sweep_probe)", "deadlocked"},
};

std::filesystem::file_time_type time_of(const std::string& file) {
  return std::filesystem::last_write_time(file);
}

}  // namespace

TEST_CASE("each lock that another thread uses is tried, and each result is right") {
  TemporaryFolder folder;
  const json table = table_in(folder / "sweep", {SWEEP_PROBE});
  INFO(table.dump(2));
  CHECK(table["schema"] == "forkscope.sweep/1");
  CHECK(results(table) == kProbeResults);
  CHECK(table["learned_deadlocks"] == 0);
  CHECK(table["summary"]["deadlocked"] == 2);
  for (const json& row : table["rows"]) {
    if (row["result"] == "protected")
      CHECK(row["protector"] == "(anonymous namespace)::lock_guarded() (sweep_probe)");
    CHECK(row["fingerprint"].is_string() == (row["result"] == "deadlocked"));
    CHECK(row["suspected"] == (row["result"] == "deadlocked"));
  }
  // What the program prints is in files.
  CHECK(read_file(folder / "sweep/learn.out") == "child is done\nparent is done\n");

  SECTION("what is over is not run again") {
    const std::string kept = folder / "sweep/runs/001/records";
    const std::string removed = folder / "sweep/runs/002";
    const auto before = time_of(kept);
    std::filesystem::remove_all(removed);
    CHECK(results(table_in(folder / "sweep", {SWEEP_PROBE})) == kProbeResults);
    CHECK(time_of(kept) == before);
    CHECK(exists(removed));
  }
  SECTION("--fail-on=deadlock fails") {
    const auto options = {std::string("--fail-on=deadlock"), "--folder=" + folder / "sweep"};
    const Ended ended = run(sweep(options, {SWEEP_PROBE}));
    CHECK(ended.exit() == 86);
    CHECK(ended.output.find("  deadlocked            mutex (anonymous namespace)::orders_lock") !=
          std::string::npos);
    CHECK(ended.output.find("sweep: 5 runs: 2 deadlocked, 1 survived, 1 protected, 1 not reached") !=
          std::string::npos);
  }
  SECTION("the printed line makes a deadlock again") {
    for (const json& row : table["rows"]) {
      if (row["result"] != "deadlocked") continue;
      const std::string bin = std::filesystem::path(FORKSCOPE_EXE).parent_path().string();
      const std::string line = row["command"].get<std::string>();
      const Ended again = run({"/bin/sh", "-c", "PATH=" + bin + ":$PATH; " + line});
      CHECK(again.errors.find("DEADLOCK in process") != std::string::npos);
    }
  }
  SECTION("the folder of another command is refused") {
    const Ended ended = run(sweep({"--folder", folder / "sweep"}, {SWEEP_PROBE, "other"}));
    CHECK(ended.exit() == 125);
    CHECK(ended.one_sentence_with("is of another command"));
  }
}

TEST_CASE("where nothing has a symbol the same locks are tried, by their places") {
  TemporaryFolder folder;
  const json table = table_in(folder / "sweep", {SWEEP_PROBE_STRIPPED});
  INFO(table.dump(2));
  CHECK(table["untried"].empty());
  CHECK(table["rows"].size() == kProbeResults.size());
  CHECK(table["summary"]["deadlocked"] == 2);
  CHECK(table["summary"]["protected"] == 1);
  int heap = 0;
  for (const json& row : table["rows"]) {
    if (row["spec"].get<std::string>().find("lock=site:sweep_probe_stripped+0x") ==
        std::string::npos)
      continue;
    ++heap;
    CHECK(row["result"] == "deadlocked");
  }
  CHECK(heap == 1);
}

TEST_CASE("a program that fails when nothing is forced is no success of a sweep") {
  TemporaryFolder folder;
  const Ended failed =
      run(sweep({"--folder", folder / "failed"},
                {"/bin/sh", "-c", "echo 'cannot import \033[31mname' >&2; exit 3"}));
  INFO(failed.errors);
  CHECK(failed.exit() == 125);
  CHECK(failed.output.empty());
  CHECK(failed.errors.find("\n  cannot import ?[31mname\n") != std::string::npos);
  CHECK(failed.errors.find("forkscope: the program fails when nothing is forced: it ended with exit "
                           "status 3") != std::string::npos);
  const Ended killed = run(sweep({"--folder", folder / "killed"}, {"/bin/sh", "-c", "kill -9 $$"}));
  CHECK(killed.exit() == 125);
  CHECK(killed.errors.find("SIGKILL") != std::string::npos);
  // It is learned again when the same line is given again.
  CHECK_FALSE(exists(folder / "failed/sweep.json"));
  const Ended slow = run(sweep({"--timeout=100ms", "--folder", folder / "slow"}, {"/bin/sleep", "60"}));
  CHECK(slow.exit() == 125);
  CHECK(slow.errors.find("--timeout") != std::string::npos);
}

TEST_CASE("a lock inside libc is tried by its function: the thread is kept in its callback") {
  TemporaryFolder folder;
  const json table = table_in(folder / "sweep", {SWEEP_PROBE, "objects"});
  INFO(table.dump(2));
  int rows = 0;
  for (const json& row : table["rows"]) {
    if (row["spec"].get<std::string>().find("fork:while-in,function=dl_iterate_phdr") != 0) continue;
    ++rows;
    CHECK(row["result"] == "deadlocked");
  }
  CHECK(rows == 1);
  CHECK(table["summary"]["deadlocked"] == 1);
}

TEST_CASE("a thread that takes the locks of at-fork handlers the other way round: fork hangs") {
  TemporaryFolder folder;
  const json table = table_in(folder / "sweep", {SWEEP_PROBE, "inverted"});
  INFO(table.dump(2));
  CHECK(table["learned_deadlocks"] == 0);
  int suspected = 0;
  for (const json& row : table["rows"]) {
    if (!row["suspected"].get<bool>()) continue;
    ++suspected;
    CHECK(row["lock"] == "mutex (anonymous namespace)::index_lock (sweep_probe)");
    CHECK(row["result"] == "deadlocked");
    CHECK(row["site"].get<std::string>().find("lock_index") != std::string::npos);
  }
  CHECK(suspected == 1);
}

TEST_CASE("Ctrl-C leaves no process, and what was made is gone on with") {
  TemporaryFolder folder;
  const std::string fifo = folder / "fifo";
  REQUIRE(run(sweep({"--plan", "--folder", folder / "sweep"}, {SWEEP_PROBE, fifo})).exit() == 0);
  REQUIRE(mkfifo(fifo.c_str(), 0600) == 0);
  {
    Started interrupted(sweep({"--folder", folder / "sweep"}, {SWEEP_PROBE, fifo}));
    pid_t program = 0;
    std::ifstream(fifo) >> program;
    REQUIRE(process_lives(program));
    kill(interrupted.pid(), SIGINT);
    CHECK(interrupted.end().signal() == SIGINT);
    CHECK_FALSE(process_lives(program));
  }
  std::filesystem::remove(fifo);
  CHECK(results(table_in(folder / "sweep", {SWEEP_PROBE, fifo})) == kProbeResults);
}

TEST_CASE("a plan can be made by others, and their sessions are the same table") {
  TemporaryFolder folder;
  const Ended plan = run(sweep({"--plan", "--folder", folder / "sweep"}, {SWEEP_PROBE}));
  REQUIRE(plan.exit() == 0);
  const bool has_parallel = run({"/bin/sh", "-c", "command -v parallel"}).exit() == 0;
  if (!has_parallel) WARN("GNU parallel is not installed: the plan's lines go to a shell");
  const Ended made = has_parallel ? run({"/usr/bin/env", "parallel", "--jobs", "2"}, plan.output)
                                  : run({"/bin/sh"}, plan.output);
  INFO(made.errors);
  std::vector<std::string> report{FORKSCOPE_EXE, "report", "--json=-"};
  std::vector<std::string> sessions;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "sweep/runs"))
    if (entry.is_directory()) sessions.push_back(entry.path().string());
  std::sort(sessions.begin(), sessions.end());
  REQUIRE(sessions.size() == kProbeResults.size());
  report.insert(report.end(), sessions.begin(), sessions.end());
  const Ended merged = run(report);
  INFO(merged.errors);
  REQUIRE(merged.exit() == 0);
  const json from_sessions = json::parse(merged.output);
  const json table = table_in(folder / "sweep", {SWEEP_PROBE});  // makes no run any more
  CHECK(results(table) == kProbeResults);
  CHECK(from_sessions["summary"] == table["summary"]);
  for (std::size_t i = 0; i < sessions.size(); ++i) {
    CHECK(from_sessions["rows"][i]["spec"] == table["rows"][i]["spec"]);
    CHECK(from_sessions["rows"][i]["result"] == table["rows"][i]["result"]);
    CHECK(from_sessions["rows"][i]["command"] == table["rows"][i]["command"]);
  }
}

// -- the scenarios: latent findings are confirmed where another interleaving is possible, and refuted
// where the program's own order forbids it

namespace {

json sweep_scenario(const std::string& name, const std::string& method) {
  TemporaryFolder folder;
  return table_in(folder / "sweep", {std::string(FORKSCOPE_SCENARIOS "/") + name,
                                     "--method=" + method, "--workers=1", "--patience=2000"});
}

}  // namespace

TEST_CASE("a lucky scenario's latent finding is refuted: its fork waits for the other thread") {
  const std::vector<std::pair<std::string, std::string>> lucky = {
      {"c11-threads", "fork-lucky"},     {"logger-lock", "fork-lucky"},
      {"mutex-types", "lucky-normal"},   {"mutex-types", "lucky-recursive"},
      {"nested-fork", "fork-lucky"},     {"parquet-lock", "fork-lucky"},
      {"parquet-write", "fork-lucky"},   {"rwlock", "fork-lucky"},
      {"semaphore-lock", "fork-lucky"},  {"spinlock", "fork-lucky"},
      {"static-local", "fork-lucky"}};
  for (const auto& [name, method] : lucky) {
    const json table = sweep_scenario(name, method);
    INFO(name << " " << method << "\n" << table.dump(2));
    int suspected = 0;
    for (const json& row : table["rows"]) {
      CHECK(row["result"] == "not reached");
      suspected += row["suspected"].get<bool>();
    }
    CHECK(suspected == 1);
  }
}

TEST_CASE("a fork whose handlers come in time has a latent inversion that is refuted") {
  const json table = sweep_scenario("atfork-inversion", "inverted-in-time");
  INFO(table.dump(2));
  // The handler takes table_lock first, and only when the thread has let go of both. That lock is a
  // row of its own if the thread was seen to live at the learned fork.
  bool refuted = false;
  for (const json& row : table["rows"]) {
    const auto lock = row["lock"].get<std::string>();
    if (lock == "mutex index_lock (atfork-inversion)") {
      CHECK(row["suspected"] == true);
      CHECK(row["result"] == "not reached");
      refuted = true;
    } else {
      CHECK(lock == "mutex table_lock (atfork-inversion)");
      CHECK(row["suspected"] == false);
      CHECK(row["result"] == "protected");
      CHECK(row["protector"] == "lock_table() (atfork-inversion)");
    }
  }
  CHECK(refuted);
}

TEST_CASE("a scenario whose fork meets the holder is confirmed") {
  for (const char* name :
       {"c11-threads", "logger-lock", "nested-fork", "parquet-lock", "parquet-write", "rwlock",
        "semaphore-lock", "spinlock", "static-local"}) {
    const json table = sweep_scenario(name, "fork");
    INFO(name << "\n" << table.dump(2));
    CHECK(table["learned_deadlocks"] == 1);
    CHECK(table["summary"]["deadlocked"] == 1);
  }
}

TEST_CASE("CPython: a forked worker hangs at the queue that another thread logs to") {
  TemporaryFolder folder;
  const std::string python = "/usr/bin/python3";
  if (!exists(python)) {
    WARN("there is no " + python);
    return;
  }
  const json stuck = table_in(folder / "stuck", {python, SWEEP_PYTHON});
  INFO(stuck.dump(2));
  CHECK(stuck["summary"]["deadlocked"].get<int>() > 0);
  for (const json& row : stuck["rows"]) {
    if (row["result"] != "deadlocked") continue;
    CHECK(row["suspected"] == true);
    CHECK(row["site"].get<std::string>().find("Python lock, in Python in") == 0);
  }
  // The logging module's own locks are made anew in the child: all that is left is the queue's.
  const json cured = table_in(folder / "cured", {python, SWEEP_PYTHON, "cured"});
  INFO(cured.dump(2));
  CHECK(cured["rows"].size() > 0);
  CHECK(cured["summary"]["deadlocked"] == 0);
  CHECK(cured["summary"]["deadlocked_elsewhere"] == 0);
}

TEST_CASE("what cannot be swept is said in one sentence") {
  TemporaryFolder folder;
  const std::vector<std::string> kept = {"--folder", folder / "sweep"};
  CHECK(run({FORKSCOPE_EXE, "sweep"}).one_sentence_with("needs a command"));
  const Ended none = run(sweep(kept, {"/no/such/program"}));
  CHECK(none.exit() == 127);
  const Ended wrong = run({FORKSCOPE_EXE, "sweep", "--jobs=0", "--", "true"});
  CHECK(wrong.exit() == 125);
}

TEST_CASE("a program without threads needs no run") {
  TemporaryFolder folder;
  const Ended ended = run(sweep({"--folder", folder / "sweep"}, {"/bin/sh", "-c", "true; :"}));
  CHECK(ended.exit() == 0);
  CHECK(ended.output ==
        "sweep: no other thread used a lock that a fork could orphan: there is nothing to try\n");
}
