#include "bench/cost/report/analysis.hpp"

#include <algorithm>
#include <cmath>

#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

constexpr double kGiB = 1 << 30;

std::vector<Point> points_of(const Series& series, double unit) {
  std::vector<Point> points;
  for (const Mark& mark : series.marks) points.push_back({mark.x / unit, mark.y});
  return points;
}

const Series* find_series(const std::vector<Series>& all, const std::string& name) {
  for (const Series& series : all)
    if (series.name == name) return &series;
  return nullptr;
}

void add_slopes(std::vector<Slope>& out, const std::vector<Series>& all, const std::string& clock,
                const std::string& prefix) {
  for (const Series& series : all) {
    const auto line = fit_line(points_of(series, kGiB));
    // Flat ones have no slope worth a number: less than half a microsecond for a MiB, or not
    // certainly (95 %) above nothing.
    if (!line || line->slope < 5e5 ||
        line->slope < student_t95(double(series.marks.size()) - 2) * line->slope_error)
      continue;
    out.push_back({prefix + series.name, clock, *line, series.marks.size(), series.marks.back().x});
  }
}

std::optional<Crossing> crossing(const std::vector<Series>& all, const std::string& a,
                                 const std::string& b, const std::string& clock) {
  const Series *sa = find_series(all, a), *sb = find_series(all, b);
  if (sa == nullptr || sb == nullptr) return {};
  Crossing result{a, b, clock, crossover(points_of(*sa, 1), points_of(*sb, 1))};
  for (const Mark& mark : sa->marks) {
    const auto other = std::find_if(sb->marks.begin(), sb->marks.end(),
                                    [&](const Mark& m) { return m.x == mark.x; });
    if (other == sb->marks.end() || other->y <= 0) continue;
    if (result.from == 0) {
      result.from = mark.x;
      result.first = mark.y / other->y;
    }
    result.to = mark.x;
    result.last = mark.y / other->y;
  }
  if (result.from == result.to) return {};
  return result;
}

std::optional<double> interpolate(const std::vector<Mark>& marks, double x) {
  for (std::size_t i = 0; i < marks.size(); ++i) {
    if (marks[i].x == x) return marks[i].y;
    if (i == 0 || marks[i].x < x || marks[i - 1].x > x || marks[i - 1].x <= 0) continue;
    const double share = std::log(x / marks[i - 1].x) / std::log(marks[i].x / marks[i - 1].x);
    return marks[i - 1].y * std::pow(marks[i].y / marks[i - 1].y, share);
  }
  return {};
}

struct Named {
  const char* method;
  const char* words;
  Estimate time;
};

std::vector<Named> estimates(const Result& result, const std::vector<Named>& candidates,
                             const char* clock, std::uint64_t resident, std::uint64_t threads) {
  std::vector<Named> out;
  for (Named one : candidates)
    if (const auto time = estimate(result, one.method, clock, resident, threads)) {
      one.time = *time;
      out.push_back(one);
    }
  std::stable_sort(out.begin(), out.end(),
                   [](const Named& a, const Named& b) { return a.time.ns < b.time.ns; });
  return out;
}

std::string list(const std::vector<Named>& all) {
  std::string text;
  for (const Named& one : all)
    text += (text.empty() ? "" : ", ") + std::string(one.words) + " " +
            (one.time.measured ? "" : "about ") + time_text(one.time.ns);
  return text;
}

void decide_program(const Result& result, std::vector<Decision>& out, const std::string& parent,
                    std::uint64_t resident, std::uint64_t threads) {
  auto all = estimates(result,
                       {{"posix_spawn", "posix_spawn()", {}},
                        {"fork-exec", "fork() + execve()", {}},
                        {"vfork-exec", "vfork() + execve()", {}}},
                       "main", resident, threads);
  const auto spawn = std::find_if(all.begin(), all.end(), [](const Named& n) {
    return std::string(n.method) == "posix_spawn";
  });
  if (spawn == all.end()) return;
  // What is faster by less than a quarter, or by less than noise, is not worth being less safe.
  const Estimate &best = all.front().time, &safe = spawn->time;
  const bool plain = threads > 0 || safe.ns <= best.ns * 1.25 ||
                     (best.measured && safe.measured && safe.interval.low <= best.interval.high);
  out.push_back({parent, "run another program", plain ? "posix_spawn()" : all.front().words,
                 "until its main(): " + list(all) +
                     (threads > 0 ? "; and no lock of another thread is copied" : "")});
}

void decide_worker(const Result& result, std::vector<Decision>& out, const std::string& parent,
                   std::uint64_t resident, std::uint64_t threads) {
  const auto all = estimates(result,
                             {{"zygote", "a zygote", {}},
                              {"forkserver", "a fork server", {}},
                              {"posix_spawn", "posix_spawn()", {}},
                              {"fork", "fork()", {}}},
                             "ready", resident, threads);
  if (all.empty()) return;
  const auto usable = std::find_if(all.begin(), all.end(), [&](const Named& n) {
    return threads == 0 || std::string(n.method) != "fork";
  });
  if (usable == all.end()) return;
  std::string because = "until it is ready: " + list(all);
  if (threads > 0)
    because += "; fork() of a process with threads may only execute something (POSIX)";
  out.push_back({parent, "a worker without the parent's data", usable->words, because});
}

void decide_copy(const Result& result, std::vector<Decision>& out, const std::string& parent,
                 std::uint64_t resident, std::uint64_t threads) {
  const auto call = estimate(result, "fork", "call", resident, threads);
  const auto reap = estimate(result, "fork", "reap", resident, threads);
  if (!call || !reap) return;
  const std::string price = "the parent stands still for " +
                            std::string(call->measured ? "" : "about ") + time_text(call->ns) +
                            ", and " + (reap->measured ? "" : "about ") + time_text(reap->ns) +
                            " are spent until the child is gone";
  if (threads == 0)
    out.push_back({parent, "a worker with the parent's data", "fork()",
                   price + "; nothing else copies the data"});
  else
    out.push_back({parent, "a worker with the parent's data",
                   "fork() before threads are started, or shared memory",
                   price + "; locks that other threads hold stay locked in the child for ever"});
}

void decide_python(const Result& result, std::vector<Decision>& out) {
  const auto all = series_of_python(result, "ready");
  const Series *fork = find_series(all, "fork"), *server = find_series(all, "forkserver"),
               *spawn = find_series(all, "spawn");
  if (fork == nullptr || server == nullptr || spawn == nullptr) return;
  for (const bool large : {false, true}) {
    const auto pick = [&](const Series* series) {
      return large ? series->marks.back() : series->marks.front();
    };
    const Mark f = pick(fork), v = pick(server), s = pick(spawn);
    if (f.x != v.x || f.x != s.x) continue;
    if (large && f.x == fork->marks.front().x) continue;
    out.push_back({"Python, " + bytes_text(f.x), "multiprocessing",
                   f.y > v.y ? "forkserver" : "forkserver, or fork while there is one thread",
                   "until the worker runs: fork " + time_text(f.y) + ", forkserver " +
                       time_text(v.y) + ", spawn " + time_text(s.y) +
                       "; only the last two leave no lock of a thread behind"});
  }
}

}  // namespace

std::vector<Slope> slopes(const Result& result) {
  std::vector<Slope> out;
  for (const char* clock : {"call", "reap"}) {
    add_slopes(out, series_by_method(result, &Spec::resident, clock), clock, "");
    auto kinds = series_by_memory(result, clock);
    std::erase_if(kinds, [](const Series& s) { return s.name == Spec().memory; });
    add_slopes(out, kinds, clock, "fork, memory ");
    add_slopes(out, series_of_python(result, clock), clock, "Python ");
  }
  add_slopes(out, series_of_stall(result), "stall", "");
  return out;
}

std::vector<Crossing> crossings(const Result& result) {
  struct Pair {
    const char *a, *b, *clock;
  };
  std::vector<Crossing> out;
  for (const Pair& pair :
       {Pair{"fork", "posix_spawn", "call"}, Pair{"fork", "posix_spawn", "ready"},
        Pair{"fork", "posix_spawn", "reap"}, Pair{"fork-exec", "posix_spawn", "main"},
        Pair{"fork-exec", "posix_spawn", "reap"}, Pair{"fork-exec", "vfork-exec", "main"},
        Pair{"fork", "forkserver", "ready"}, Pair{"fork", "zygote", "ready"}}) {
    const auto all = series_by_method(result, &Spec::resident, pair.clock);
    if (auto one = crossing(all, pair.a, pair.b, pair.clock)) out.push_back(*one);
  }
  const auto python = series_of_python(result, "ready");
  for (const char* other : {"forkserver", "spawn"})
    if (auto one = crossing(python, "fork", other, "ready")) {
      one->a = "Python fork";
      one->b = std::string("Python ") + other;
      out.push_back(*one);
    }
  return out;
}

std::vector<Control> controls(const Result& result) {
  std::vector<Control> out;
  for (const CaseResult& again : result.cases) {
    if (again.spec.control == 0) continue;
    Spec first = again.spec;
    first.control = 0;
    const CaseResult* one = find_case(result, name_of(first));
    if (one == nullptr) continue;
    for (const char* clock : {"call", "reap", "batch"}) {
      const Summary *a = find_clock(*one, clock), *b = find_clock(again, clock);
      if (a != nullptr && b != nullptr)
        out.push_back({name_of(first), clock, paired_t(a->rounds, b->rounds)});
    }
  }
  return out;
}

double noise(const Result& result) {
  double worst = 0;
  for (const Control& control : controls(result))
    worst = std::max(worst, std::exp(std::abs(std::log(control.comparison.ratio))) - 1);
  return worst;
}

std::vector<PoolRow> pools(const Result& result, bool python) {
  std::vector<PoolRow> rows;
  for (const Series& series : series_of_pools(result)) {
    if (series.name.starts_with("python-") != python) continue;
    PoolRow row;
    row.reuse = series.name.ends_with(", pool");
    row.method = row.reuse ? series.name.substr(0, series.name.size() - 6) : series.name;
    std::vector<double> costs;
    for (const Mark& mark : series.marks) {
      const double task = mark.x * 1e6;
      row.cells.push_back({task, mark.y, task / mark.y, mark.name});
      if (mark.x <= 10) costs.push_back(mark.y - task);
    }
    if (costs.empty()) continue;
    std::sort(costs.begin(), costs.end());
    row.cost = std::max(0.0, quantile(costs, 0.5));
    rows.push_back(std::move(row));
  }
  std::stable_sort(rows.begin(), rows.end(),
                   [](const PoolRow& a, const PoolRow& b) { return a.cost < b.cost; });
  for (PoolRow& row : rows) {
    if (&row == &rows.front()) continue;
    row.within10 = break_even(rows.front().cost, row.cost, 0.1);
    row.within1 = break_even(rows.front().cost, row.cost, 0.01);
  }
  return rows;
}

std::optional<Estimate> estimate(const Result& result, const std::string& method,
                                 const std::string& clock, std::uint64_t resident,
                                 std::uint64_t threads) {
  const auto sizes = series_by_method(result, &Spec::resident, clock, {method});
  if (sizes.empty()) return {};
  const auto& marks = sizes.front().marks;
  Estimate out;
  if (const auto inside = interpolate(marks, double(resident))) {
    out.ns = *inside;
    const auto mark = std::find_if(marks.begin(), marks.end(),
                                   [&](const Mark& m) { return m.x == double(resident); });
    out.measured = threads == 0 && mark != marks.end();
    if (out.measured) out.interval = {mark->low, mark->high};
  } else if (const auto line = fit_line(points_of(sizes.front(), 1))) {
    // From the nearest that was measured: a line through all may miss it.
    const Mark& near = double(resident) > marks.back().x ? marks.back() : marks.front();
    out.ns = near.y + std::max(0.0, line->slope * (double(resident) - near.x));
  } else {
    return {};
  }
  if (threads == 0) return out;
  const auto many = series_by_method(result, &Spec::threads, clock, {method});
  if (many.empty()) return out;
  if (const auto line = fit_line(points_of(many.front(), 1)); line && line->slope > 0)
    out.ns += line->slope * double(threads);
  return out;
}

std::vector<Decision> decisions(const Result& result) {
  struct Parent {
    std::uint64_t resident, threads;
  };
  std::vector<Decision> out;
  constexpr std::uint64_t kGi = std::uint64_t{1} << 30;
  for (const Parent& parent : {Parent{1 << 20, 0}, Parent{kGi, 0}, Parent{8 * kGi, 64}}) {
    const std::string words =
        bytes_text(double(parent.resident)) +
        (parent.threads > 0 ? ", " + std::to_string(parent.threads) + " threads" : ", one thread");
    decide_program(result, out, words, parent.resident, parent.threads);
    decide_worker(result, out, words, parent.resident, parent.threads);
    decide_copy(result, out, words, parent.resident, parent.threads);
  }
  decide_python(result, out);
  return out;
}

}  // namespace forkscope::cost
