// forkscope-bench: what the preload library costs, as a table of ratios.
//
// Runs every case in rounds of three processes, bare, preloaded and bare again as a control, in an
// order that changes from round to round so that drift of the machine falls on all three alike.
// Exits with 0 whatever the numbers are, with 1 on an error, with 2 on wrong usage.
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <regex>
#include <set>

#include "bench/ratios/run.hpp"
#include "bench/ratios/summary.hpp"

namespace {

namespace fs = std::filesystem;
using namespace forkscope::bench;

struct Options {
  int pairs = 0;  // 0: the default of the mode
  bool quick = false;
  std::string json, filter, preload;
  bool no_session = false;
};

// Beyond this load before the start the numbers are doubtful.
constexpr double kBusyLoad = 0.5;

enum Role { kBareRole, kPreloadedRole, kControlRole };

// All orders of the three roles, mirrored ones next to each other: any two roles are A B, B A.
constexpr std::array<std::array<Role, 3>, 6> kOrders{{
    {kBareRole, kPreloadedRole, kControlRole},
    {kControlRole, kPreloadedRole, kBareRole},
    {kPreloadedRole, kBareRole, kControlRole},
    {kControlRole, kBareRole, kPreloadedRole},
    {kBareRole, kControlRole, kPreloadedRole},
    {kPreloadedRole, kControlRole, kBareRole},
}};

std::vector<Case> select(const std::string& filter) {
  std::vector<Case> selected;
  std::string names;
  const std::regex pattern(filter);
  for (const Case& one : all_cases()) {
    names += " " + one.name;
    if (std::regex_search(one.name, pattern)) selected.push_back(one);
  }
  if (selected.empty())
    throw std::runtime_error(
        fmt::format("no case matches --filter={}; the cases are:{}", filter, names));
  return selected;
}

Setup make_setup(const Options& options) {
  // bin/forkscope-bench, lib/forkscope/bench/..., lib/forkscope/libforkscope.so: the same in the
  // build tree and in an installation.
  const fs::path library =
      fs::read_symlink("/proc/self/exe").parent_path().parent_path() / FORKSCOPE_PRELOAD_DIR;
  Setup setup;
  setup.programs = library / "bench";
  setup.preload =
      options.preload.empty() ? library / "libforkscope.so" : fs::absolute(options.preload);
  if (!fs::exists(setup.preload))
    throw std::runtime_error(
        fmt::format("there is no preload library {}; build it or name one with --preload",
                    setup.preload.string()));
  setup.session = !options.no_session;
  setup.pinning = choose_cpus();
  setup.min_time = options.quick ? 0.05 : 0.2;
  return setup;
}

// Samples of one case, per metric.
using CaseSamples = std::vector<std::vector<Sample>>;

void run_round(const Case& what, const Setup& setup, SessionRoot& sessions,
               const std::array<Role, 3>& order, CaseSamples& samples,
               std::set<std::string>& remarks) {
  std::vector<Sample> round(what.metrics.size());
  for (const Role role : order) {
    const Side side = role == kPreloadedRole ? Side::kPreloaded : Side::kBare;
    const RunResult result = run_case(what, side, setup, sessions);
    if (!result.remark.empty()) remarks.insert(what.name + ": " + result.remark + ".");
    for (std::size_t i = 0; i < round.size(); ++i) {
      const double value = result.counters.at(what.metrics[i].counter);
      (role == kBareRole        ? round[i].bare
       : role == kPreloadedRole ? round[i].preloaded
                                : round[i].control) = value;
    }
  }
  for (std::size_t i = 0; i < round.size(); ++i) samples[i].push_back(round[i]);
}

void run(const Options& options) {
  const std::vector<Case> cases = select(options.filter);
  const Setup setup = make_setup(options);
  std::ofstream json;
  if (!options.json.empty()) {  // before the work, not after it
    json.open(options.json);
    if (!json) throw std::runtime_error("cannot write " + options.json);
  }

  Conditions conditions;
  conditions.machine = describe_machine();
  conditions.load_before = load_average();
  conditions.pinning = setup.pinning;
  conditions.build = FORKSCOPE_BUILD_TYPE;
  conditions.preload = setup.preload.filename();
  conditions.session = setup.session;
  conditions.pairs = options.pairs > 0 ? options.pairs : options.quick ? 4 : 12;

  std::set<std::string> remarks;
  std::vector<CaseSamples> samples;
  for (const Case& one : cases) samples.emplace_back(one.metrics.size());
  SessionRoot sessions;
  // Rounds outside, cases inside: a bad minute of the machine falls on all cases.
  for (int round = 0; round < conditions.pairs; ++round) {
    for (std::size_t i = 0; i < cases.size(); ++i) {
      if (isatty(STDERR_FILENO))
        fmt::print(stderr, "\rround {}/{}: {:<20}", round + 1, conditions.pairs, cases[i].name);
      run_round(cases[i], setup, sessions, kOrders[std::size_t(round) % kOrders.size()], samples[i],
                remarks);
    }
  }
  if (isatty(STDERR_FILENO)) fmt::print(stderr, "\r{:<40}\r", "");

  conditions.load_after = load_average();
  if (conditions.load_before.one_minute > kBusyLoad)
    remarks.insert("the machine was busy before the start; repeat on an idle one.");
  if (setup.pinning.two.size() < 2)
    remarks.insert("there is one CPU only; the two threads of a case took turns on it.");
  conditions.remarks.assign(remarks.begin(), remarks.end());

  std::vector<Row> rows;
  for (std::size_t i = 0; i < cases.size(); ++i)
    for (std::size_t m = 0; m < cases[i].metrics.size(); ++m)
      rows.push_back(summarize(cases[i], cases[i].metrics[m], samples[i][m]));
  fmt::print("{}", markdown(rows, conditions));
  if (json.is_open()) {
    json << json_document(rows, conditions).dump(2) << "\n" << std::flush;
    if (!json) throw std::runtime_error("cannot write " + options.json);
  }
}

// Ctrl-C ends the wait for a benchmark with EINTR, so that the temporary folder is removed on the
// way out; hence no SA_RESTART.
void make_interruptible() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  CLI::App app("What the preload library costs: benchmarks bare and preloaded, as ratios.",
               "forkscope-bench");
  app.add_option("--pairs", options.pairs, "rounds per case (12, with --quick 4)")
      ->check(CLI::Range(1, 10000));
  app.add_flag("--quick", options.quick, "fewer and shorter rounds: a first look");
  app.add_option("--filter", options.filter, "cases whose name contains this regular expression");
  app.add_option("--json", options.json, "write all samples to this file as well");
  app.add_option("--preload", options.preload, "another preload library to measure");
  app.add_flag("--no-session", options.no_session,
               "do not have the library record (and do not check that it does)");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  make_interruptible();
  try {
    run(options);
  } catch (const std::regex_error&) {
    fmt::print(stderr, "forkscope-bench: --filter={} is no regular expression\n", options.filter);
    return 2;
  } catch (const std::exception& error) {
    fmt::print(stderr, "forkscope-bench: {}\n", error.what());
    return 1;
  }
}
