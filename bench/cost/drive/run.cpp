#include "bench/cost/drive/run.hpp"

#include <time.h>

#include <algorithm>
#include <chrono>
#include <regex>

#include "bench/cost/drive/price.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::cost {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

std::string utc_now() {
  const time_t now = time(nullptr);
  tm parts{};
  gmtime_r(&now, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

/// Everything that was measured of one case.
struct Collected {
  std::map<std::string, std::vector<std::vector<double>>> rounds;
  std::string skip;
  double took = 0;  ///< seconds of the last round
};

class Rounds {
 public:
  Rounds(const RunOptions& options, const std::vector<Planned>& plan, double seconds,
         const ShowProgress& show)
      : options_(options), plan_(plan), seconds_(seconds), show_(show), collected_(plan.size()) {
    for (std::size_t i = 0; i < plan.size(); ++i) {
      collected_[i].skip = plan[i].skip;
      collected_[i].took = plan[i].budget + overhead_seconds(plan[i].spec);
    }
    most_ = options.full ? 5 : 3;
  }

  void run() {
    for (round_ = 0; round_ < most_; ++round_) {
      // A round that will not fit is not begun. The first is: what does not fit is told.
      if (round_ > 0 && since(begin_) + round_seconds() > seconds_) return;
      for (const std::size_t i : round_order(plan_.size(), round_)) {
        if (collected_[i].skip.empty()) one(i);
        ++done_;
      }
    }
  }

  int rounds() const { return round_; }
  std::vector<Collected>& collected() { return collected_; }

 private:
  void one(std::size_t i) {
    Collected& mine = collected_[i];
    if (since(begin_) > seconds_) {
      if (round_ == 0) mine.skip = "no time was left; measure it alone with --filter";
      return;
    }
    const Spec& spec = plan_[i].spec;
    const double left = round_seconds() * (most_ - round_) * (1 - share_done());
    show_({name_of(spec), done_, plan_.size() * std::size_t(most_),
           std::min(left, seconds_ - since(begin_))});
    const auto begin = Clock::now();
    try {
      const Outcome outcome = measure_case(options_.programs, spec, plan_[i].budget * haste());
      mine.skip = outcome.skip;
      for (const auto& [clock, values] : outcome.samples) mine.rounds[clock].push_back(values);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      mine.skip = std::string("it failed: ") + error.what();
    }
    mine.took = since(begin);
  }

  double round_seconds() const {
    double sum = 0;
    for (const Collected& one : collected_)
      if (one.skip.empty()) sum += one.took;
    return sum;
  }
  /// Below 1 if the first round would not end in time otherwise.
  double haste() const {
    double needed = 0;
    for (std::size_t i = done_; round_ == 0 && i < plan_.size(); ++i)
      if (collected_[i].skip.empty()) needed += collected_[i].took;
    const double left = seconds_ - since(begin_);
    return needed > left ? std::max(0.1, left / needed) : 1;
  }
  double share_done() const {
    return double(done_ % plan_.size()) / double(plan_.size()) / double(most_ - round_);
  }

  const RunOptions& options_;
  const std::vector<Planned>& plan_;
  const double seconds_;
  const ShowProgress& show_;
  std::vector<Collected> collected_;
  Clock::time_point begin_ = Clock::now();
  std::size_t done_ = 0;
  int round_ = 0, most_;
};

void summarize_all(Result& result, const std::vector<Planned>& plan,
                   const std::vector<Collected>& collected) {
  for (std::size_t i = 0; i < plan.size(); ++i) {
    if (!collected[i].skip.empty()) {
      result.skipped.push_back({name_of(plan[i].spec), collected[i].skip});
      continue;
    }
    CaseResult one{plan[i].spec, {}};
    for (const auto& [clock, rounds] : collected[i].rounds) one.clocks[clock] = summarize(rounds);
    result.cases.push_back(std::move(one));
  }
}

std::vector<std::string> importable(const Programs& programs) {
  std::vector<std::string> modules;
  for (const char* module : {"numpy", "polars"}) {
    const bench::Finished finished =
        run_program({programs.python, "-c", std::string("import ") + module}, 60, false);
    if (finished.status == 0) modules.push_back(module);
  }
  return modules;
}

}  // namespace

Selection select_cases(const RunOptions& options, const Limits& limits) {
  PlanOptions plan;
  plan.full = options.full;
  plan.processors = bench::describe_machine().cpus;
  plan.most_memory = options.most_memory;
  plan.python = !options.programs.python.empty();
  if (plan.python && options.full) plan.imports = importable(options.programs);
  const std::regex pattern(options.filter);
  Selection selection;
  for (Planned& one : make_plan(plan, limits))
    if (std::regex_search(name_of(one.spec), pattern)) selection.cases.push_back(std::move(one));
  for (const std::string& name : price_parts())
    if (std::regex_search(name, pattern)) selection.prices.push_back(name);
  return selection;
}

Result run_bench(const RunOptions& options, const Selection& selection, const ShowProgress& show) {
  const auto begin = Clock::now();
  Result result;
  result.machine = machine_settings();
  result.mode = options.full ? "full" : "quick";
  result.command = options.invocation;
  result.date = utc_now();
  result.python = options.programs.python;
  result.load_before = bench::load_average().one_minute;

  const double for_price = price_seconds(selection.prices, options.full);
  if (!selection.cases.empty()) {
    Rounds rounds(options, selection.cases, options.seconds * 0.95 - for_price, show);
    rounds.run();
    result.rounds = rounds.rounds();
    summarize_all(result, selection.cases, rounds.collected());
  }
  if (!selection.prices.empty()) {
    PriceOptions price{options.full, options.command, options.ratios, options.programs,
                       [&] { return options.seconds - since(begin); }};
    result.price = measure_price(price, selection.prices, [&](const std::string& what) {
      show({what, 0, 0, std::max(0.0, options.seconds - since(begin))});
    });
  }
  result.load_after = bench::load_average().one_minute;
  result.seconds = since(begin);
  if (result.cases.empty() && !result.price) {
    std::string why = "nothing could be measured";
    if (!result.skipped.empty())
      why += "; " + result.skipped.front().name + ": " + result.skipped.front().why;
    throw std::runtime_error(why);
  }
  if (result.load_before > 0.5)
    result.remarks.push_back("The machine was busy before the start: repeat on an idle one.");
  return result;
}

}  // namespace forkscope::cost
