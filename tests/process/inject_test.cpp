// Faults that are asked for, in real processes: they happen, each time, and are told.
#include <catch2/catch.hpp>
#include <cstdio>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "tests/process/cli_run.hpp"

using namespace cli_test;
using nlohmann::json;

namespace {

struct Injected {
  Ended ended;
  json report;
  /// How often each result was told.
  std::map<std::string, int> results() const {
    std::map<std::string, int> counts;
    for (const json& one : report.at("injected")) ++counts[one.at("result").get<std::string>()];
    return counts;
  }
};
using Results = std::map<std::string, int>;

Injected inject(const std::vector<std::string>& specs, const std::vector<std::string>& command,
                std::vector<std::string> options = {"--quiet"}) {
  TemporaryFolder folder;
  const std::string file = folder / "report.json";
  options.push_back("--json=" + file);
  for (const std::string& spec : specs) options.push_back("--inject=" + spec);
  Injected injected;
  injected.ended = run(forkscope_run(options, command));
  INFO(injected.ended.errors);
  CHECK(injected.ended.exit() == 0);
  injected.report = json::parse(read_file(file));
  return injected;
}

/// What the probe said of each call: "fork" -> "-1 EAGAIN".
std::map<std::string, std::string> answers(const std::string& output) {
  std::map<std::string, std::string> said;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);)
    said[line.substr(0, line.find(' '))] = line.substr(line.find(' ') + 1);
  return said;
}

}  // namespace

TEST_CASE("while-held: 100 of 100 forks find the lock taken, of every kind of lock") {
  for (const std::string kind : {"mutex", "recursive", "reader", "writer", "spin", "semaphore",
                                 "c11", "condition", "custom"}) {
    CAPTURE(kind);
    // A semaphore has no owner: it counts only where it is asked for.
    const std::string lock = kind == "semaphore" ? ",lock=permit" : "";
    const Injected forced =
        inject({"fork:while-held,wait=20s" + lock}, {INJECT_PROBE, kind, "100"});
    CHECK(forced.ended.output == "taken 100 of 100\n");
    CHECK(forced.results() == Results{{"forced", 100}});
  }
}

TEST_CASE("while-held: what the report says of a forced fork is what the fork's record says") {
  const Injected forced = inject({"fork:while-held,wait=20s"}, {INJECT_PROBE, "mutex", "5"});
  REQUIRE(forced.report["injected"].size() == 5);
  for (const json& one : forced.report["injected"]) {
    CHECK(one["spec"] == "fork:while-held,wait=20s");
    CHECK(one["point"] == "fork");
    CHECK(one["action"] == "while-held");
    CHECK(one["lock"]["symbol"] == "probe::plain_lock");
    CHECK(one["lock"]["type"] == "mutex");
    CHECK(one["errno"].is_null());
    CHECK(one["function"].is_null());
    CHECK(one["stack"].size() > 1);
    bool found = false;
    for (const json& fork : forced.report["forks"])
      if (fork["id"] == one["fork"])
        for (const json& held : fork["held"])
          found = found || (held["owner"] == one["holder"] && !held["self"].get<bool>() &&
                            held["lock"]["address"] == one["lock"]["address"]);
    CHECK(found);
  }
}

TEST_CASE("while-held: a lock is meant by variable, module, offset, type, address or function") {
  const Injected first = inject({"fork:while-held,wait=20s"}, {INJECT_PROBE, "mutex", "1"});
  const json lock = first.report["injected"][0]["lock"];
  const std::string offset = lock["offset"];
  for (const std::string& pattern :
       {std::string("plain_lock"), std::string("probe::plain_lock"), std::string("probe::*"),
        std::string("inject_probe"), std::string(INJECT_PROBE), "inject_probe+" + offset,
        std::string("mutex"), std::string("use_plain"),
        std::string("(anonymous namespace)::use_plain")}) {
    CAPTURE(pattern);
    const Injected forced =
        inject({"fork:while-held,wait=20s,lock=" + pattern}, {INJECT_PROBE, "mutex", "3"});
    CHECK(forced.results() == Results{{"forced", 3}});
  }
  for (const std::string pattern :
       {"rw_lock", "spin lock", "libc.so*", "0x10", "inject_probe+0x1"}) {
    CAPTURE(pattern);
    const Injected missed =
        inject({"fork:while-held,wait=5ms,lock=" + pattern}, {INJECT_PROBE, "mutex", "3"});
    CHECK(missed.ended.output == "taken 0 of 3\n");
    CHECK(missed.results() == Results{{"not-reached", 3}});
  }
}

TEST_CASE("while-held: at-fork handlers that take the lock are let through, and it is told") {
  const Injected needed =
      inject({"fork:while-held,lock=plain_lock,wait=10m"}, {INJECT_PROBE, "handlers", "20"});
  CHECK(needed.ended.output == "taken 0 of 20\n");
  CHECK(needed.results() == Results{{"needed-by-forker", 20}});
}

TEST_CASE("while-held: at the call that is asked for, and at no other") {
  const Injected second = inject({"fork:while-held,wait=20s,nth=2"}, {INJECT_PROBE, "mutex", "3"});
  CHECK(second.results() == Results{{"forced", 1}});
  CHECK(second.report["injected"][0]["fork"] == second.report["forks"][1]["id"]);
  // What another fork meets is chance, but for one before the thread begins.
  const Injected last =
      inject({"fork:while-held,wait=20s,nth=2"}, {INJECT_PROBE, "mutex", "2", "2"});
  CHECK(last.ended.output == "taken 1 of 2\n");
  CHECK(last.results() == Results{{"forced", 1}});
}

TEST_CASE("while-held: a scenario's deadlock is forced, and its lock named by variable") {
  const std::string parquet = FORKSCOPE_SCENARIOS "/parquet-lock";
  for (int i = 0; i < 5; ++i) {
    TemporaryFolder folder;
    const std::string file = folder / "report.json";
    run(forkscope_run({"--quiet", "--on-deadlock=kill", "--json=" + file,
                       "--inject=fork:while-held,lock=orders,wait=20s"},
                      {parquet, "--method=fork"}));
    const json report = json::parse(read_file(file));
    REQUIRE(report["injected"].size() == 1);
    CHECK(report["injected"][0]["result"] == "forced");
    CHECK(report["injected"][0]["lock"]["symbol"] == "orders.file_lock");
    REQUIRE(report["findings"].size() == 1);
    CHECK(report["findings"][0]["severity"] == "deadlock");
    CHECK(report["summary"]["injected"] == 1);
  }
}

TEST_CASE("calls fail as asked, with the errors asked for, and nothing is created") {
  const Injected failed =
      inject({"fork:fail=EAGAIN,nth=1", "vfork:fail=ENOMEM", "clone:fail=EPERM",
              "posix_spawn:fail=ENOENT", "exec:fail=ETXTBSY", "pthread_create:fail=EAGAIN,nth=1",
              "trylock:busy", "timedlock:timeout"},
             {INJECT_PROBE, "calls"});
  CHECK(answers(failed.ended.output) ==
        std::map<std::string, std::string>{{"fork", "-1 EAGAIN"},
                                           {"vfork", "-1 ENOMEM"},
                                           {"clone", "-1 EPERM"},
                                           {"posix_spawn", "2 -"},
                                           {"exec", "26 -"},
                                           {"pthread_create", "11 -"},
                                           {"thrd_create", "0 -"},
                                           {"pthread_mutex_trylock", "16 -"},
                                           {"mtx_trylock", "1 -"},
                                           {"sem_trywait", "-1 EAGAIN"},
                                           {"pthread_rwlock_trywrlock", "16 -"},
                                           {"pthread_spin_trylock", "16 -"},
                                           {"ftrylockfile", "1 -"},
                                           {"pthread_mutex_timedlock", "110 -"},
                                           {"sem_timedwait", "-1 ETIMEDOUT"}});
  CHECK(failed.results() == Results{{"failed-as-asked", 6}, {"refused", 8}});
  // The one fork of the probe that was let go on: whose child tried to execute.
  CHECK(failed.report["summary"]["forks"] == 1);
  CHECK(failed.report["summary"]["failed"] == 4);
  std::set<std::string> errors;
  for (const json& one : failed.report["injected"])
    if (one["errno"].is_string()) errors.insert(one["errno"].get<std::string>());
  CHECK(errors == std::set<std::string>{"EAGAIN", "ENOMEM", "EPERM", "ENOENT", "ETXTBSY"});
}

TEST_CASE("what is not asked for does not happen") {
  const Injected none = inject({}, {INJECT_PROBE, "calls"});
  for (const auto& [call, answer] : answers(none.ended.output)) {
    CAPTURE(call);
    CHECK((answer == "0 -" || answer == "1 -"));
  }
  CHECK(none.report["seed"].is_null());
  CHECK(none.report["injected"].empty());
  CHECK(none.report["summary"]["injected"] == 0);
}

TEST_CASE("one seed decides everything: the same again, and another one otherwise") {
  const auto decided = [](const std::string& seed) {
    const Injected run = inject(
        {"lock:yield,p=0.5", "fork:fail=ENOMEM,p=0.5", "trylock:busy,p=0.5", "exec:fail=EIO,p=0.5"},
        {INJECT_PROBE, "calls"}, {"--quiet", "--seed=" + seed});
    CHECK(run.report["seed"].dump() == seed);
    std::string all = run.ended.output;
    for (const json& one : run.report["injected"])
      all += one["spec"].get<std::string>() + one["result"].get<std::string>();
    return all;
  };
  std::set<std::string> seen;
  for (const std::string seed : {"1", "2", "3", "18446744073709551615"}) {
    const std::string once = decided(seed);
    CHECK(decided(seed) == once);
    seen.insert(once);
  }
  CHECK(seen.size() > 1);
}

TEST_CASE("a seed is chosen and printed where none is given") {
  const Ended ended =
      run(forkscope_run({"--inject=fork:fail=EAGAIN,every=1"}, {INJECT_PROBE, "calls"}));
  const std::string told = "injected with --seed=";
  REQUIRE(ended.errors.find(told) != std::string::npos);
  CHECK(std::stoull(ended.errors.substr(ended.errors.find(told) + told.size())) >= 10'000);
  CHECK(ended.errors.find("fork:fail=EAGAIN,every=1: failed-as-asked 2 times (EAGAIN)") !=
        std::string::npos);
}

TEST_CASE("delays are where they are asked for, and told by the process that waits") {
  for (const std::string where : {"before", "child", "parent"}) {
    CAPTURE(where);
    const Injected delayed =
        inject({"fork:delay=1ms,nth=1,where=" + where}, {INJECT_PROBE, "mutex", "1"});
    REQUIRE(delayed.report["injected"].size() == 1);
    const json& one = delayed.report["injected"][0];
    CHECK(one["result"] == "delayed");
    const json& fork = delayed.report["forks"][0];
    CHECK(one["pid"] == (where == "child" ? fork["child"] : fork["pid"]));
  }
  const Injected threads = inject({"thread:slow-start=1ms,nth=1", "lock:hold=1us,lock=c11_lock"},
                                  {INJECT_PROBE, "calls"});
  CHECK(threads.results() == Results{{"delayed", 2}});
}

TEST_CASE("while-in: more children hang than without it, and the report says who was inside") {
  const std::vector<std::string> probe_libc{INJECT_PROBE, "libc", "setenv", "6"};
  const auto ended = [](const Injected& one) {
    int count = -1;
    REQUIRE(std::sscanf(one.ended.output.c_str(), "ended %d of 6\n", &count) == 1);
    return count;
  };
  const Injected alone = inject({}, probe_libc);
  const Injected inside =
      inject({"fork:while-in,wait=20s,function=set*"}, probe_libc, {"--quiet", "--watch=off"});
  // Whether the other thread has the lock in the instant of the copy nobody can decide.
  CHECK(ended(inside) < ended(alone));
  REQUIRE(inside.report["injected"].size() == 6);
  for (const json& one : inside.report["injected"]) {
    CHECK((one["result"] == "forced" || one["result"] == "inside"));
    CHECK(one["function"] == "setenv");
    CHECK(one["holder"].is_number());
    CHECK(one["caller"]["function"].get<std::string>().find("operator()") != std::string::npos);
  }
  const Injected nobody =
      inject({"fork:while-in,wait=2ms,function=getaddrinfo"}, {INJECT_PROBE, "mutex", "2"});
  CHECK(nobody.results() == Results{{"not-reached", 2}});
}

TEST_CASE("a malformed injection stops before the program starts, with place and expectation") {
  TemporaryFolder folder;
  const Ended ended = run(
      forkscope_run({"--inject=fork:while-held,wait=soon"}, probe({"touch", folder / "started"})));
  CHECK(ended.exit() == 125);
  CHECK(
      ended.one_sentence_with("in 'fork:while-held,wait=soon' at character 22: 'soon' is no time; "
                              "expected one up to 1h"));
  CHECK_FALSE(exists(folder / "started"));
  const Ended seed = run(forkscope_run({"--seed=x"}, probe({"touch", folder / "started"})));
  CHECK(seed.exit() == 125);
  CHECK(seed.one_sentence_with("'x' is no seed; give a whole number"));
}

TEST_CASE(
    "without the command: by FORKSCOPE_OPTIONS, refused by the library where it is malformed") {
  const auto with_options = [](const std::string& options) {
    return run({INJECT_PROBE, "calls"}, "", [options] {
      setenv("LD_PRELOAD", FORKSCOPE_PRELOAD, 1);
      setenv("FORKSCOPE_OPTIONS", options.c_str(), 1);
    });
  };
  CHECK(answers(with_options("inject=fork:fail=ENOSYS,nth=2:log=none").output)["exec"] == "-1 -");
  const Ended wrong = with_options("inject=fork:fial=EAGAIN");
  CHECK(wrong.exit() == 125);
  CHECK(wrong.output.empty());
  CHECK(wrong.errors.find("at character 6: 'fial' is no action of fork") != std::string::npos);
}

TEST_CASE("inject help tells of every action, and starts nothing") {
  const Ended ended = run({FORKSCOPE_EXE, "run", "--inject", "help"});
  CHECK(ended.exit() == 0);
  for (const char* part : {"fork:while-held", "fork:while-in", "posix_spawn:fail=ERRNO",
                           "--inject lock:hold=5ms,lock=*cache*,p=0.01", "needed-by-forker"})
    CHECK(ended.output.find(part) != std::string::npos);
}

TEST_CASE("what was injected is told again by forkscope report") {
  TemporaryFolder folder;
  const std::string session = folder / "session";
  run(forkscope_run({"--quiet", "--seed=5", "--session=" + session,
                     "--inject=fork:fail=EAGAIN,nth=1", "--inject=clone:fail=EINVAL,nth=9"},
                    {INJECT_PROBE, "calls"}));
  const Ended again = run({FORKSCOPE_EXE, "report", session});
  CHECK(again.output.find("injected with --seed=5\n"
                          "  fork:fail=EAGAIN,nth=1: failed-as-asked once (EAGAIN)\n"
                          "  clone:fail=EINVAL,nth=9: no such call was made\n") !=
        std::string::npos);
}
