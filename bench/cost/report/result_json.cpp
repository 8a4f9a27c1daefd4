#include "bench/cost/report/result_json.hpp"

#include <nlohmann/json.hpp>
#include <stdexcept>

#include "bench/cost/report/analysis.hpp"
#include "bench/cost/report/compare.hpp"
#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kSchema = "forkscope.bench/1";

Json to_json(const Summary& summary, const std::string& clock) {
  Json histogram = Json::array();
  for (const auto& [bucket, count] : summary.histogram.counts())
    histogram.push_back(Json::array({bucket, count}));
  return {{"unit", clock.ends_with("faults") ? "count" : "ns"},
          {"count", summary.count},
          {"median", summary.median},
          {"low", summary.interval.low},
          {"high", summary.interval.high},
          {"p95", summary.p95},
          {"p99", summary.p99},
          {"p999", summary.p999},
          {"min", summary.min},
          {"max", summary.max},
          {"rounds", summary.rounds},
          {"histogram", std::move(histogram)}};
}

Summary parse_summary(const Json& json) {
  Summary summary;
  summary.count = json.at("count").get<std::size_t>();
  const auto number = [&](const char* key) { return json.at(key).get<double>(); };
  summary.median = number("median");
  summary.interval = {number("low"), number("high")};
  summary.p95 = number("p95");
  summary.p99 = number("p99");
  summary.p999 = number("p999");
  summary.min = number("min");
  summary.max = number("max");
  summary.rounds = json.at("rounds").get<std::vector<double>>();
  for (const Json& pair : json.at("histogram"))
    summary.histogram.counts()[pair.at(0).get<int>()] = pair.at(1).get<std::uint64_t>();
  return summary;
}

Json to_json(const PriceRow& row) {
  return {{"title", row.title}, {"unit", row.unit},       {"bare", row.bare},
          {"with", row.with},   {"ratio", row.ratio},     {"q1", row.low},
          {"q3", row.high},     {"control", row.control}, {"command", row.command}};
}

PriceRow parse_price_row(const Json& json) {
  PriceRow row;
  row.title = json.at("title").get<std::string>();
  row.unit = json.at("unit").get<std::string>();
  row.bare = json.at("bare").get<double>();
  row.with = json.at("with").get<double>();
  row.ratio = json.at("ratio").get<double>();
  row.low = json.at("q1").get<double>();
  row.high = json.at("q3").get<double>();
  row.control = json.at("control").get<double>();
  row.command = json.at("command").get<std::string>();
  return row;
}

Json optional(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json derived(const Result& result) {
  Json out;
  out["controls"] = Json::array();
  for (const Control& one : controls(result))
    out["controls"].push_back({{"case", one.name},
                               {"clock", one.clock},
                               {"ratio", one.comparison.ratio},
                               {"p", one.comparison.p},
                               {"test", one.comparison.test}});
  out["noise"] = noise(result);
  out["slopes"] = Json::array();
  for (const Slope& one : slopes(result))
    out["slopes"].push_back({{"series", one.series},
                             {"clock", one.clock},
                             {"ms_per_gib", one.line.slope * 1e-6},
                             {"error", one.line.slope_error * 1e-6},
                             {"intercept_ms", one.line.intercept * 1e-6},
                             {"r_squared", one.line.r_squared},
                             {"worst_relative_error", one.line.worst},
                             {"points", one.points},
                             {"largest", one.largest}});
  out["crossovers"] = Json::array();
  for (const Crossing& one : crossings(result))
    out["crossovers"].push_back({{"a", one.a},
                                 {"b", one.b},
                                 {"clock", one.clock},
                                 {"at_bytes", optional(one.at)},
                                 {"from", one.from},
                                 {"to", one.to},
                                 {"ratio_at_from", one.first},
                                 {"ratio_at_to", one.last}});
  out["pools"] = Json::array();
  for (const bool python : {false, true})
    for (const PoolRow& row : pools(result, python)) {
      Json cells = Json::array();
      for (const PoolRow::Cell& cell : row.cells)
        cells.push_back({{"task_ns", cell.task},
                         {"worker_ns_per_task", cell.per_task},
                         {"efficiency", cell.efficiency},
                         {"case", cell.name}});
      out["pools"].push_back({{"method", row.method},
                              {"reuse", row.reuse},
                              {"cost_ns", row.cost},
                              {"within_10_percent_from_ns", optional(row.within10)},
                              {"within_1_percent_from_ns", optional(row.within1)},
                              {"tasks", std::move(cells)}});
    }
  out["decisions"] = Json::array();
  for (const Decision& one : decisions(result))
    out["decisions"].push_back({{"parent", one.parent},
                                {"purpose", one.purpose},
                                {"use", one.use},
                                {"because", one.because}});
  return out;
}

/// A line for each member, and for each element of lists of objects: people read it, and diff it.
std::string lines_of(const Json& document) {
  std::string text = "{";
  const char* before = "\n";
  for (const auto& [key, value] : document.items()) {
    text += before + Json(key).dump() + ": ";
    before = ",\n";
    if (!value.is_array() || value.empty() || !value.front().is_object()) {
      text += value.dump();
      continue;
    }
    const char* between = "[\n ";
    for (const Json& element : value) {
      text += between + element.dump();
      between = ",\n ";
    }
    text += "]";
  }
  return text + "\n}\n";
}

Json price_json(const Price& price) {
  const auto rows = [](const std::vector<PriceRow>& all) {
    Json out = Json::array();
    for (const PriceRow& row : all) out.push_back(to_json(row));
    return out;
  };
  return {{"library", rows(price.rows)},
          {"tools", rows(price.tools)},
          {"programs", rows(price.programs)},
          {"remarks", price.remarks}};
}

Price parse_price(const Json& json) {
  Price price;
  const auto rows = [&](const char* key) {
    std::vector<PriceRow> out;
    for (const Json& row : json.at(key)) out.push_back(parse_price_row(row));
    return out;
  };
  price.rows = rows("library");
  price.tools = rows("tools");
  price.programs = rows("programs");
  price.remarks = json.at("remarks").get<std::vector<std::string>>();
  return price;
}

}  // namespace

std::string result_json(const Result& result) {
  Json machine = Json::object();
  for (const auto& [name, value] : result.machine) machine[name] = value;
  Json out{{"schema", kSchema},
           {"mode", result.mode},
           {"command", result.command},
           {"date", result.date},
           {"seconds", result.seconds},
           {"rounds", result.rounds},
           {"machine", std::move(machine)},
           {"load", {{"before", result.load_before}, {"after", result.load_after}}},
           {"python", result.python.empty() ? Json(nullptr) : Json(result.python)},
           {"remarks", result.remarks}};
  out["cases"] = Json::array();
  for (const CaseResult& one : result.cases) {
    Json clocks = Json::object();
    for (const auto& [clock, summary] : one.clocks) clocks[clock] = to_json(summary, clock);
    out["cases"].push_back({{"name", name_of(one.spec)},
                            {"command", command_of(result, one.spec)},
                            {"clocks", std::move(clocks)}});
  }
  out["skipped"] = Json::array();
  for (const Skipped& one : result.skipped)
    out["skipped"].push_back({{"name", one.name}, {"why", one.why}});
  out["price"] = result.price ? price_json(*result.price) : Json(nullptr);
  out["derived"] = derived(result);
  return lines_of(out);
}

Result parse_result(const std::string& text) try {
  const Json json = Json::parse(text);
  if (!json.is_object() || json.value("schema", "") != kSchema || !json.contains("cases"))
    throw std::runtime_error(std::string("it is no report of schema ") + kSchema +
                             ", which `forkscope bench --json FILE` writes");
  Result result;
  result.mode = json.at("mode").get<std::string>();
  result.command = json.at("command").get<std::string>();
  result.date = json.at("date").get<std::string>();
  result.seconds = json.at("seconds").get<double>();
  result.rounds = json.at("rounds").get<int>();
  for (const auto& [name, value] : json.at("machine").items())
    result.machine.emplace_back(name, value.get<std::string>());
  result.load_before = json.at("load").at("before").get<double>();
  result.load_after = json.at("load").at("after").get<double>();
  if (json.at("python").is_string()) result.python = json.at("python").get<std::string>();
  result.remarks = json.at("remarks").get<std::vector<std::string>>();
  for (const Json& entry : json.at("cases")) {
    CaseResult one{parse_spec(entry.at("name").get<std::string>()), {}};
    for (const auto& [clock, summary] : entry.at("clocks").items())
      one.clocks[clock] = parse_summary(summary);
    result.cases.push_back(std::move(one));
  }
  for (const Json& entry : json.at("skipped"))
    result.skipped.push_back(
        {entry.at("name").get<std::string>(), entry.at("why").get<std::string>()});
  if (json.at("price").is_object()) result.price = parse_price(json.at("price"));
  return result;
} catch (const nlohmann::json::parse_error&) {
  throw std::runtime_error("it is no JSON");
} catch (const nlohmann::json::exception& error) {
  throw std::runtime_error(std::string("a field is missing or has another type: ") + error.what());
} catch (const std::invalid_argument& error) {
  throw std::runtime_error(error.what());
}

std::vector<PriceRow> rows_of_ratios(const std::string& text, const std::string& command) try {
  std::vector<PriceRow> rows;
  const Json document = Json::parse(text);
  for (const Json& entry : document.at("rows")) {
    PriceRow row;
    row.title = entry.at("title").get<std::string>();
    row.bare = entry.at("bare").at("median").get<double>() * 1e9;
    row.with = entry.at("preloaded").at("median").get<double>() * 1e9;
    row.ratio = entry.at("ratio").at("median").get<double>();
    row.low = entry.at("ratio").at("q1").get<double>();
    row.high = entry.at("ratio").at("q3").get<double>();
    row.control = entry.at("control").at("median").get<double>();
    row.command = command;
    rows.push_back(std::move(row));
  }
  return rows;
} catch (const nlohmann::json::exception& error) {
  throw std::runtime_error(std::string("the report of forkscope-bench cannot be read: ") +
                           error.what());
}

std::string compared_json(const Compared& compared) {
  Json out{{"schema", "forkscope.bench-comparison/1"},
           {"noise", compared.noise},
           {"differences", compared.differences},
           {"only_before", compared.only_before},
           {"only_after", compared.only_after}};
  out["cases"] = Json::array();
  for (const ComparedCase& one : compared.cases)
    out["cases"].push_back({{"name", one.name},
                            {"clock", one.clock},
                            {"before_ns", one.before},
                            {"after_ns", one.after},
                            {"changed", one.changed},
                            {"p", one.comparison.p},
                            {"p_adjusted", one.adjusted},
                            {"test", one.comparison.test}});
  out["methods"] = Json::array();
  for (const ComparedMethod& one : compared.methods)
    out["methods"].push_back({{"method", one.method},
                              {"clock", one.clock},
                              {"pairs", one.pairs},
                              {"ratio", one.comparison.ratio},
                              {"p", one.comparison.p},
                              {"test", one.comparison.test}});
  return lines_of(out);
}

}  // namespace forkscope::cost
