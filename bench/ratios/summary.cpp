#include "bench/ratios/summary.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>

namespace forkscope::bench {
namespace {

std::string time_text(double seconds) {
  if (seconds < 1e-6) return fmt::format("{:.2f} ns", seconds * 1e9);
  if (seconds < 1e-3) return fmt::format("{:.1f} µs", seconds * 1e6);
  return fmt::format("{:.2f} ms", seconds * 1e3);
}

std::string verdict(const Row& row) {
  if (!row.aim()) return "";
  const auto miss = row.miss();
  std::string text = miss ? fmt::format("missed by {:.1f} %", *miss * 100) : "met";
  if (row.within_noise()) text += ", within the noise";
  return text;
}

std::string aim_text(const Metric& metric) {
  if (metric.aim) return fmt::format("<= {}", *metric.aim);
  return metric.extra ? "<= +" + time_text(*metric.extra) : "";
}

std::string table_row(const Row& row) {
  return fmt::format("| {} | {} | {} | {:.3f} | {:.3f} - {:.3f} | {:.3f} | {} | {} |\n",
                     row.metric.title, time_text(row.bare.median), time_text(row.preloaded.median),
                     row.ratio.median, row.ratio.low, row.ratio.high, row.control.median,
                     aim_text(row.metric), verdict(row));
}

nlohmann::json to_json(const Quartiles& q) {
  return {{"q1", q.low}, {"median", q.median}, {"q3", q.high}};
}

nlohmann::json to_json(const Row& row) {
  nlohmann::json samples = nlohmann::json::array();
  for (const Sample& sample : row.samples)
    samples.push_back(
        {{"bare", sample.bare}, {"preloaded", sample.preloaded}, {"control", sample.control}});
  nlohmann::json out{{"case", row.case_name},
                     {"title", row.metric.title},
                     {"counter", row.metric.counter},
                     {"unit", "seconds"},
                     {"bare", to_json(row.bare)},
                     {"preloaded", to_json(row.preloaded)},
                     {"ratio", to_json(row.ratio)},
                     {"control", to_json(row.control)},
                     {"difference", to_json(row.extra)},
                     {"samples", std::move(samples)}};
  if (row.aim()) {
    out["aim"] = *row.aim();
    out["aim_of"] = row.metric.aim ? "ratio" : "difference";
    out["met"] = !row.miss();
    out["missed_by"] = row.miss().value_or(0);
    out["within_noise"] = row.within_noise();
  }
  return out;
}

}  // namespace

Quartiles quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double fraction) {
    const double place = fraction * double(values.size() - 1);
    const auto below = std::size_t(place);
    const auto above = std::min(below + 1, values.size() - 1);
    return values[below] + (values[above] - values[below]) * (place - double(below));
  };
  return {at(0.25), at(0.5), at(0.75)};
}

std::optional<double> Row::aim() const { return metric.aim ? metric.aim : metric.extra; }

const Quartiles& Row::measured() const { return metric.aim ? ratio : extra; }

std::optional<double> Row::miss() const {
  if (!aim() || measured().median <= *aim()) return {};
  return measured().median / *aim() - 1;
}

bool Row::within_noise() const {
  if (!aim()) return false;
  const double noise =
      metric.aim ? std::abs(control.median - 1) : std::abs(control_extra.median) / *aim();
  return (measured().low <= *aim() && *aim() <= measured().high) ||
         noise > std::abs(measured().median / *aim() - 1);
}

Row summarize(const Case& source, const Metric& metric, std::vector<Sample> samples) {
  const auto over = [&](auto value) {
    std::vector<double> values;
    for (const Sample& sample : samples) values.push_back(value(sample));
    return quartiles(std::move(values));
  };
  Row row;
  row.metric = metric;
  row.case_name = source.name;
  row.bare = over([](const Sample& s) { return s.bare; });
  row.preloaded = over([](const Sample& s) { return s.preloaded; });
  row.ratio = over([](const Sample& s) { return s.preloaded / s.bare; });
  row.control = over([](const Sample& s) { return s.control / s.bare; });
  row.extra = over([](const Sample& s) { return s.preloaded - s.bare; });
  row.control_extra = over([](const Sample& s) { return s.control - s.bare; });
  row.samples = std::move(samples);
  return row;
}

std::string markdown(const std::vector<Row>& rows, const Conditions& conditions) {
  const Machine& machine = conditions.machine;
  std::string text = fmt::format(
      "{}, {} CPUs{}{}; {}, {}; load {:.2f} before, {:.2f} after. Build {}, {}{}, {} rounds, "
      "medians; "
      "single-thread cases on CPU {}, two-thread cases on CPUs {}.\n\n",
      machine.cpu, machine.cpus, machine.virtual_machine ? " (virtual machine)" : "",
      machine.frequency.empty() ? "" : ", " + machine.frequency, machine.kernel, machine.libc,
      conditions.load_before.one_minute, conditions.load_after.one_minute, conditions.build,
      conditions.preload, conditions.session ? " with a session" : " without a session",
      conditions.pairs, fmt::join(conditions.pinning.one, " and "),
      fmt::join(conditions.pinning.two, " and "));
  text += "| case | bare | preloaded | ratio | quartiles | bare / bare | aim | verdict |\n";
  text += "|---|--:|--:|--:|--:|--:|---|---|\n";
  for (const Row& row : rows) text += table_row(row);
  for (const std::string& remark : conditions.remarks) text += "\nNote: " + remark + "\n";
  return text;
}

nlohmann::json json_document(const std::vector<Row>& rows, const Conditions& conditions) {
  const Machine& machine = conditions.machine;
  nlohmann::json out{
      {"schema", "forkscope.bench-ratios/1"},
      {"machine",
       {{"cpu", machine.cpu},
        {"cpus", machine.cpus},
        {"virtual", machine.virtual_machine},
        {"frequency", machine.frequency},
        {"kernel", machine.kernel},
        {"libc", machine.libc}}},
      {"load",
       {{"before", conditions.load_before.one_minute},
        {"after", conditions.load_after.one_minute}}},
      {"pinning", {{"one", conditions.pinning.one}, {"two", conditions.pinning.two}}},
      {"build", conditions.build},
      {"preload", conditions.preload},
      {"session", conditions.session},
      {"rounds", conditions.pairs},
      {"remarks", conditions.remarks}};
  out["rows"] = nlohmann::json::array();
  for (const Row& row : rows) out["rows"].push_back(to_json(row));
  return out;
}

}  // namespace forkscope::bench
