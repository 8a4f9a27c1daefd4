#include "bench/cost/drive/plan.hpp"

#include <algorithm>
#include <numeric>
#include <random>

namespace forkscope::cost {
namespace {

constexpr std::uint64_t kMiB = 1 << 20, kGiB = std::uint64_t{1} << 30;

class Builder {
 public:
  Builder(const PlanOptions& options, const Limits& limits) : options_(options), limits_(limits) {}

  void add(Spec spec) {
    if (std::any_of(plan_.begin(), plan_.end(), [&](const Planned& p) { return p.spec == spec; }))
      return;
    Planned planned{spec, options_.full ? 0.3 : 0.04, ""};
    if (const auto why = exceeds(spec, limits_)) planned.skip = *why;
    plan_.push_back(std::move(planned));
  }

  void vary(const std::vector<std::string>& names, std::uint64_t Spec::*axis,
            const std::vector<std::uint64_t>& values, Spec base = {}) {
    for (const std::string& name : names)
      for (const std::uint64_t value : values) {
        base.method = name;
        base.*axis = value;
        add(base);
      }
  }

  std::vector<Planned> take() { return std::move(plan_); }

 private:
  const PlanOptions& options_;
  const Limits& limits_;
  std::vector<Planned> plan_;
};

void add_sizes(Builder& plan, const PlanOptions& options) {
  const std::uint64_t most = std::min(options.most_memory, options.full ? 16 * kGiB : kGiB);
  auto sizes = parent_sizes(most);
  // Sizes 4 times apart end at 1, 4 or 16 GiB; the quick run takes every second.
  if (!options.full)
    std::erase_if(sizes, [](std::uint64_t s) { return s == 4 * kMiB || s == 64 * kMiB; });
  auto common = sizes;
  std::erase_if(common, [&](std::uint64_t s) { return s > (options.full ? kGiB : 256 * kMiB); });
  plan.vary({"fork", "fork-exec", "posix_spawn", "vfork-exec"}, &Spec::resident, sizes);
  plan.vary({"forkserver", "zygote"}, &Spec::resident, common);
  auto few = common;
  if (options.full)
    std::erase_if(few, [](std::uint64_t s) { return s != kMiB && s != 64 * kMiB && s != kGiB; });
  else
    few = {kMiB};
  plan.vary({"_Fork", "clone3", "vfork", "clone-vm", "thread", "clone-vm-exec", "clone3-vm-exec",
             "pidfd_spawn", "system", "popen"},
            &Spec::resident, few);
}

void add_memory_kinds(Builder& plan, const PlanOptions& options) {
  for (const std::string& kind : memory_kinds()) {
    Spec base;
    base.memory = kind;
    const std::vector<std::uint64_t> some =
        options.full ? std::vector<std::uint64_t>{16 * kMiB, 64 * kMiB, 256 * kMiB, kGiB}
                     : std::vector<std::uint64_t>{256 * kMiB};
    for (const std::uint64_t size : some)
      if (size <= options.most_memory) plan.vary({"fork"}, &Spec::resident, {size}, base);
  }
}

void add_parents(Builder& plan, const PlanOptions& options) {
  using Values = std::vector<std::uint64_t>;
  const bool full = options.full;
  const std::vector<std::string> both{"fork", "posix_spawn"};
  plan.vary(both, &Spec::threads, full ? Values{0, 1, 10, 100, 1000} : Values{0, 100, 1000});
  plan.vary(both, &Spec::descriptors,
            full ? Values{10, 100, 1000, 10'000, 100'000} : Values{100, 10'000});
  if (full) plan.vary({"vfork-exec"}, &Spec::descriptors, {10, 100, 1000, 10'000, 100'000});
  plan.vary(both, &Spec::mappings, full ? Values{100, 1000, 10'000, 60'000} : Values{100, 10'000});
  plan.vary(both, &Spec::handlers, full ? Values{10, 100, 1000} : Values{1000});
  const auto all = std::uint64_t(options.processors);
  if (all > 1) {
    plan.vary({"fork", "posix_spawn", "thread"}, &Spec::concurrency, {1, all});
    Spec base;
    base.resident = 64 * kMiB;
    if (full) plan.vary(both, &Spec::concurrency, {1, all}, base);
  }
  const std::vector<std::string> execute{"fork-exec", "posix_spawn"};
  plan.vary(execute, &Spec::environment, full ? Values{16384, 131072, kMiB} : Values{kMiB});
  plan.vary(execute, &Spec::arguments, full ? Values{16384, 131072, kMiB} : Values{kMiB});
  for (const char* first : {"child", "parent"}) {
    Spec base;
    base.first = first;
    base.resident = full ? 256 * kMiB : 16 * kMiB;
    plan.vary({"fork"}, &Spec::written, full ? Values{0, 1, 10, 50, 100} : Values{0, 10, 100},
              base);
  }
  Spec stall;
  stall.stall = 1;
  plan.vary(full ? std::vector<std::string>{"fork", "posix_spawn", "vfork-exec"} : both,
            &Spec::resident, full ? Values{kMiB, 16 * kMiB, 256 * kMiB, kGiB} : Values{256 * kMiB},
            stall);
}

void add_pools(Builder& plan, const PlanOptions& options, const std::vector<std::string>& names,
               const std::vector<std::uint64_t>& tasks, bool python) {
  Spec base;
  base.workers = std::uint64_t(std::clamp(options.processors, 1, 8));
  base.resident = 64 * kMiB;
  for (const std::string& name : names)
    for (const std::uint64_t task : tasks) {
      base.method = name;
      base.task = task;
      // Some hundred milliseconds of work, and two tasks for each worker at least.
      const std::uint64_t many = python ? 8 : 40;
      base.tasks =
          base.workers * std::clamp<std::uint64_t>(200 / std::max<std::uint64_t>(task, 1), 2, many);
      base.reuse = 0;
      plan.add(base);
      base.reuse = 1;
      if (python) plan.add(base);
    }
}

void add_python(Builder& plan, const PlanOptions& options) {
  if (!options.python) return;
  const std::vector<std::string> names{"python-fork", "python-forkserver", "python-spawn"};
  Spec base;
  for (const std::uint64_t size : options.full ? std::vector<std::uint64_t>{kMiB, 64 * kMiB, kGiB}
                                               : std::vector<std::uint64_t>{kMiB, 256 * kMiB})
    if (size <= options.most_memory) plan.vary(names, &Spec::resident, {size}, base);
  for (const std::string& module : options.imports) {
    base.imports = module;
    plan.vary(names, &Spec::resident, {kMiB}, base);
  }
}

void add_python_pools(Builder& plan, const PlanOptions& options) {
  if (!options.python) return;
  add_pools(plan, options, {"python-fork", "python-forkserver", "python-spawn"},
            options.full ? std::vector<std::uint64_t>{0, 1, 10, 100, 1000}
                         : std::vector<std::uint64_t>{10},
            true);
}

}  // namespace

std::vector<Planned> make_plan(const PlanOptions& options, const Limits& limits) {
  // What matters most comes first: a machine that is too slow for all of it measures that.
  Builder plan(options, limits);
  add_sizes(plan, options);
  Spec control;
  control.control = 1;
  plan.vary({"fork", "posix_spawn"}, &Spec::resident,
            {kMiB, std::min(256 * kMiB, options.most_memory)}, control);
  add_python(plan, options);
  add_pools(plan, options, {"fork", "posix_spawn", "forkserver", "zygote"},
            options.full ? std::vector<std::uint64_t>{0, 1, 10, 100, 1000}
                         : std::vector<std::uint64_t>{0, 1, 10, 100},
            false);
  add_parents(plan, options);
  add_memory_kinds(plan, options);
  add_python_pools(plan, options);
  return plan.take();
}

std::vector<std::size_t> round_order(std::size_t cases, int round) {
  std::vector<std::size_t> order(cases);
  std::iota(order.begin(), order.end(), std::size_t{0});
  if (round == 0) return order;  // as planned
  std::mt19937 random{std::mt19937::result_type(round)};
  // Not std::shuffle, whose result is the library's choice.
  for (std::size_t i = cases; i > 1; --i) std::swap(order[i - 1], order[random() % i]);
  return order;
}

double overhead_seconds(const Spec& spec) {
  const Method* method = find_method(spec.method);
  double seconds = 0.03 + double(spec.resident) / kGiB * 0.6 + double(spec.threads) * 2e-5 +
                   double(spec.descriptors + spec.mappings) * 4e-6;
  if (method != nullptr && method->python) seconds += 0.2;
  if (spec.tasks > 0) seconds += double(spec.tasks * spec.task) / double(spec.workers) * 1e-3;
  return seconds;
}

}  // namespace forkscope::cost
