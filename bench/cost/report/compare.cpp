#include "bench/cost/report/compare.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>

#include "bench/cost/report/analysis.hpp"
#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

void compare_machines(const Result& before, const Result& after, Compared& out) {
  // What changes from minute to minute is no other machine.
  for (const auto& [name, value] : before.machine) {
    if (name == "memory" || name == "processes and threads") continue;
    for (const auto& [other, now] : after.machine)
      if (name == other && value != now)
        out.differences.push_back(name + ": " + value + " before, " + now + " after.");
  }
  if (before.mode != after.mode)
    out.differences.push_back("mode: " + before.mode + " before, " + after.mode + " after.");
}

}  // namespace

Compared compare_results(const Result& before, const Result& after) {
  Compared out;
  compare_machines(before, after, out);
  out.noise = std::max(noise(before), noise(after));
  std::map<std::pair<std::string, std::string>, std::vector<double>> ratios;
  std::vector<double> p;
  for (const CaseResult& now : after.cases) {
    const std::string name = name_of(now.spec);
    const CaseResult* then = find_case(before, name);
    if (then == nullptr) {
      out.only_after.push_back(name);
      continue;
    }
    for (const auto& [clock, summary] : now.clocks) {
      const Summary* old = find_clock(*then, clock);
      if (clock.ends_with("faults") || old == nullptr || old->median <= 0 || summary.median <= 0)
        continue;
      ComparedCase one{name, clock, old->median, summary.median,
                       welch(old->rounds, summary.rounds)};
      p.push_back(one.comparison.p);
      out.cases.push_back(one);
      ratios[{now.spec.method, clock}].push_back(summary.median / old->median);
    }
  }
  for (const CaseResult& then : before.cases)
    if (find_case(after, name_of(then.spec)) == nullptr)
      out.only_before.push_back(name_of(then.spec));

  const std::vector<double> adjusted = holm(p);
  const auto size = [](const ComparedCase& one) {
    return std::abs(std::log(one.after / one.before));
  };
  for (std::size_t i = 0; i < out.cases.size(); ++i) {
    out.cases[i].adjusted = adjusted[i];
    out.cases[i].changed = adjusted[i] < 0.05 && size(out.cases[i]) > std::log1p(out.noise);
  }
  std::stable_sort(out.cases.begin(), out.cases.end(),
                   [&](const ComparedCase& a, const ComparedCase& b) {
                     if (a.changed != b.changed) return a.changed;
                     return size(a) > size(b);
                   });
  std::vector<double> all;
  for (const auto& [key, values] : ratios) {
    // Fewer than six pairs can never be significant at 5 %.
    if (values.size() >= 6)
      out.methods.push_back({key.first, key.second, values.size(), wilcoxon(values)});
    if (key.second == "reap") all.insert(all.end(), values.begin(), values.end());
  }
  if (all.size() >= 6) out.methods.push_back({"all methods", "reap", all.size(), wilcoxon(all)});
  return out;
}

std::string compared_text(const Compared& compared) {
  std::string text;
  const auto changed =
      std::size_t(std::count_if(compared.cases.begin(), compared.cases.end(),
                                [](const ComparedCase& one) { return one.changed; }));
  text += std::to_string(compared.cases.size()) + " pairs of medians (case and clock), " +
          std::to_string(changed) +
          " changed beyond noise: Welch's t-test on logarithms of the rounds' medians, p < 0.05 "
          "after Holm's correction, and more than the A/A controls' " +
          change_text(1 + compared.noise) + "\n";
  for (const std::string& difference : compared.differences)
    text += "  not the same: " + difference + "\n";
  const auto row = [](const std::string& name, const std::string& clock, const std::string& before,
                      const std::string& after, const std::string& change, const std::string& p) {
    return "  " + left_aligned(name, 46) + " " + left_aligned(clock, 12) +
           right_aligned(before, 10) + right_aligned(after, 10) + right_aligned(change, 10) +
           right_aligned(p, 9) + "\n";
  };
  if (changed > 0) {
    text += "\n" + row("case", "clock", "before", "after", "change", "p");
    for (const ComparedCase& one : compared.cases)
      if (one.changed)
        text += row(one.name, one.clock, time_text(one.before), time_text(one.after),
                    change_text(one.after / one.before), p_text(one.adjusted));
  }
  if (!compared.methods.empty()) {
    text += "\n  all cases of a method together (Wilcoxon signed-rank test on logarithms)\n" +
            row("method", "clock", "", "pairs", "change", "p");
    for (const ComparedMethod& one : compared.methods)
      text += row(one.method, one.clock, "", std::to_string(one.pairs),
                  change_text(one.comparison.ratio), p_text(one.comparison.p));
  }
  for (const auto& [words, names] : {std::pair{"only in the first", &compared.only_before},
                                     std::pair{"only in the second", &compared.only_after}})
    if (!names->empty())
      text += std::string("\n  ") + words + ": " + std::to_string(names->size()) + " cases, as " +
              names->front() + "\n";
  return text;
}

}  // namespace forkscope::cost
