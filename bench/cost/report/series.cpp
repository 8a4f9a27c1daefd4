// Which cases are a line of which plot.
#include <algorithm>
#include <functional>
#include <map>

#include "bench/cost/report/analysis.hpp"

namespace forkscope::cost {
namespace {

using Key = std::function<std::optional<std::string>(const Spec&)>;
using Value = std::function<double(const Spec&)>;

void add(std::vector<Series>& all, const std::string& name, Mark mark) {
  auto found =
      std::find_if(all.begin(), all.end(), [&](const Series& s) { return s.name == name; });
  if (found == all.end()) {
    all.push_back({name, {}});
    found = all.end() - 1;
  }
  found->marks.push_back(std::move(mark));
}

void sort_marks(std::vector<Series>& all) {
  for (Series& series : all)
    std::sort(series.marks.begin(), series.marks.end(),
              [](const Mark& a, const Mark& b) { return a.x < b.x; });
}

Mark mark_of(const CaseResult& one, const Summary& summary, double x) {
  return {x, summary.median, summary.interval.low, summary.interval.high, name_of(one.spec)};
}

/// Series in the order in which methods() or the plan has them.
std::vector<Series> collect(const Result& result, const std::string& clock, const Key& key,
                            const Value& x) {
  std::vector<Series> all;
  for (const CaseResult& one : result.cases) {
    const auto name = key(one.spec);
    const Summary* summary = find_clock(one, clock);
    if (name && summary != nullptr) add(all, *name, mark_of(one, *summary, x(one.spec)));
  }
  sort_marks(all);
  return all;
}

bool is_python(const Spec& spec) {
  const Method* method = find_method(spec.method);
  return method != nullptr && method->python;
}

std::size_t method_place(const std::string& name) {
  const auto& all = methods();
  return std::size_t(
      std::find_if(all.begin(), all.end(), [&](const Method& m) { return name == m.name; }) -
      all.begin());
}

}  // namespace

const CaseResult* find_case(const Result& result, const std::string& name) {
  for (const CaseResult& one : result.cases)
    if (name_of(one.spec) == name) return &one;
  return nullptr;
}

const Summary* find_clock(const CaseResult& one, const std::string& clock) {
  const auto found = one.clocks.find(clock);
  return found == one.clocks.end() ? nullptr : &found->second;
}

std::string command_of(const Result& result, const Spec& spec) {
  std::string pattern;
  for (const char c : name_of(spec)) {
    if (c == '+' || c == '.') pattern += '\\';
    pattern += c;
  }
  std::string command = "forkscope bench --" + result.mode + " --filter '^" + pattern + "$'";
  if (is_python(spec) && !result.python.empty()) command += " --python " + result.python;
  return command;
}

std::vector<Series> series_by_method(const Result& result, std::uint64_t Spec::*axis,
                                     const std::string& clock,
                                     const std::vector<std::string>& only) {
  auto all = collect(
      result, clock,
      [&](const Spec& spec) -> std::optional<std::string> {
        Spec rest = spec;
        rest.method = Spec().method;
        rest.*axis = Spec().*axis;
        if (rest != Spec() || is_python(spec)) return {};
        if (!only.empty() && std::find(only.begin(), only.end(), spec.method) == only.end())
          return {};
        return spec.method;
      },
      [&](const Spec& spec) { return double(spec.*axis); });
  std::sort(all.begin(), all.end(), [](const Series& a, const Series& b) {
    return method_place(a.name) < method_place(b.name);
  });
  return all;
}

std::vector<Series> series_by_memory(const Result& result, const std::string& clock) {
  return collect(
      result, clock,
      [](const Spec& spec) -> std::optional<std::string> {
        Spec rest = spec;
        rest.memory = Spec().memory;
        rest.resident = Spec().resident;
        if (rest != Spec()) return {};
        return spec.memory;
      },
      [](const Spec& spec) { return double(spec.resident); });
}

std::vector<Series> series_of_python(const Result& result, const std::string& clock) {
  return collect(
      result, clock,
      [](const Spec& spec) -> std::optional<std::string> {
        Spec rest = spec;
        rest.method = Spec().method;
        rest.imports.clear();
        rest.resident = Spec().resident;
        if (rest != Spec() || !is_python(spec)) return {};
        return spec.method.substr(7) + (spec.imports.empty() ? "" : ", " + spec.imports);
      },
      [](const Spec& spec) { return double(spec.resident); });
}

std::vector<Series> series_of_stall(const Result& result) {
  return collect(
      result, "stall",
      [](const Spec& spec) -> std::optional<std::string> {
        if (spec.stall == 0) return {};
        return spec.method;
      },
      [](const Spec& spec) { return double(spec.resident); });
}

std::vector<Series> series_of_writes(const Result& result) {
  std::vector<Series> all;
  for (const CaseResult& one : result.cases)
    for (const char* who : {"child", "parent"}) {
      const Summary* summary = find_clock(one, std::string(who) + "_write");
      if (summary == nullptr) continue;
      add(all, std::string(who) + (one.spec.first == who ? " writes first" : " writes second"),
          mark_of(one, *summary, double(one.spec.written)));
    }
  sort_marks(all);
  return all;
}

std::vector<Series> series_of_pools(const Result& result) {
  std::vector<Series> all;
  for (const CaseResult& one : result.cases) {
    const Summary* batch = find_clock(one, "batch");
    if (batch == nullptr || one.spec.tasks == 0) continue;
    const double scale = double(one.spec.workers) / double(one.spec.tasks);
    add(all, one.spec.method + (one.spec.reuse != 0 ? ", pool" : ""),
        {double(one.spec.task), batch->median * scale, batch->interval.low * scale,
         batch->interval.high * scale, name_of(one.spec)});
  }
  sort_marks(all);
  return all;
}

}  // namespace forkscope::cost
