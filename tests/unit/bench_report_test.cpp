// What `forkscope bench` makes of its data: names of cases, what follows from numbers, comparison,
// and the printed reports against recorded ones.
//
// The golden files are those of tests/data/golden/bench_result.json, a recorded quick run of a few
// cases. After a change of the page that is meant, write them anew:
//   forkscope bench --from bench_result.json --html bench_page.html > bench_text.txt
#include <catch2/catch.hpp>
#include <fstream>
#include <iterator>
#include <set>

#include "bench/cost/drive/limits.hpp"
#include "bench/cost/drive/measure.hpp"
#include "bench/cost/drive/plan.hpp"
#include "bench/cost/report/analysis.hpp"
#include "bench/cost/report/compare.hpp"
#include "bench/cost/report/page.hpp"
#include "bench/cost/report/plot.hpp"
#include "bench/cost/report/result_json.hpp"
#include "bench/cost/report/text.hpp"
#include "bench/cost/report/words.hpp"

using namespace forkscope::cost;

namespace {

constexpr double kMs = 1e6;
constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

std::string golden(const std::string& name) {
  std::ifstream file(FORKSCOPE_TEST_DATA "/golden/" + name, std::ios::binary);
  REQUIRE(file.is_open());
  return {std::istreambuf_iterator<char>(file), {}};
}

/// Five rounds around a median.
Summary around(double median, double spread = 0.01) {
  std::vector<std::vector<double>> rounds;
  for (int i = -2; i <= 2; ++i) rounds.push_back({median * (1 + i * spread)});
  return summarize(rounds);
}

void add(Result& result, const std::string& name, const std::string& clock, double median) {
  const Spec spec = parse_spec(name);
  for (CaseResult& one : result.cases)
    if (one.spec == spec) {
      one.clocks[clock] = around(median);
      return;
    }
  result.cases.push_back({spec, {{clock, around(median)}}});
}

/// fork: 0.1 ms and 10 ms a GiB; a program: 1 ms.
Result small_result() {
  Result result;
  for (const char* size : {"", "/resident=64MiB", "/resident=256MiB", "/resident=1GiB"}) {
    const double gib = double(parse_spec("fork" + std::string(size)).resident) / kGiB;
    for (const char* clock : {"call", "ready", "reap"}) {
      add(result, std::string("fork") + size, clock, (0.1 + 10 * gib) * kMs);
      add(result, std::string("posix_spawn") + size, clock, kMs);
    }
    add(result, std::string("posix_spawn") + size, "main", kMs);
    add(result, std::string("fork-exec") + size, "main", (1.1 + 10 * gib) * kMs);
  }
  return result;
}

Limits ample() {
  return {{64 * kGiB, "memory"},
          {100'000, "p"},
          {1'000'000, "RLIMIT_NOFILE"},
          {65530, "vm.max_map_count"},
          {8 << 20, "RLIMIT_STACK"}};
}

PlanOptions plan_options(bool full) {
  PlanOptions options;
  options.full = full;
  options.processors = 2;
  options.python = true;
  options.imports = {"numpy"};
  return options;
}

}  // namespace

TEST_CASE(
    "bench: every case of the plans is read again from its name, and no name is there twice") {
  for (const bool full : {false, true}) {
    std::set<std::string> names;
    for (const Planned& one : make_plan(plan_options(full), ample())) {
      const std::string name = name_of(one.spec);
      CAPTURE(name);
      CHECK(parse_spec(name) == one.spec);
      CHECK(names.insert(name).second);
      CHECK(one.skip.empty());
    }
    CHECK(names.count("fork") == 1);
    CHECK(names.count("fork/resident=1GiB") == 1);
  }
}

TEST_CASE("bench: names that mean nothing are refused") {
  for (const char* name :
       {"", "spork", "fork/", "fork/threads", "fork/threads=", "fork/threads=1x",
        "fork/resident=1TB", "fork/written=101%", "fork/memory=wet", "fork/first=nobody",
        "fork/workers=0", "fork/nonsense=1", "fork/resident=99999999999GiB"}) {
    CAPTURE(name);
    CHECK_THROWS_AS(parse_spec(name), std::invalid_argument);
  }
}

TEST_CASE("bench: what limits do not allow is skipped with the limit's name") {
  Limits limits = ample();
  limits.descriptors.value = 1024;
  limits.mappings.value = 5000;
  limits.memory.value = kGiB;
  limits.processes = {500, "the limit of the control group"};
  const auto why = [&](const char* name) { return exceeds(parse_spec(name), limits).value_or(""); };
  CHECK(why("fork") == "");
  CHECK(why("fork/descriptors=10000").find("RLIMIT_NOFILE leaves 1024") != std::string::npos);
  CHECK(why("fork/mappings=10000").find("vm.max_map_count") != std::string::npos);
  CHECK(why("fork/resident=1GiB").find("memory leaves 1 GiB") != std::string::npos);
  CHECK(why("fork/resident=600MiB/first=child/written=100%") != "");  // the copies count
  CHECK(why("fork/threads=1000").find("control group leaves 500") != std::string::npos);
  CHECK(why("fork-exec/arguments=4MiB").find("stack") != std::string::npos);
  CHECK(why("fork/resident=256MiB") == "");
  CHECK(parent_sizes(kGiB).back() == kGiB);
}

TEST_CASE("bench: a round has every case once, and later ones have another order") {
  for (const int round : {0, 1, 2}) {
    auto order = round_order(50, round);
    CHECK(order == round_order(50, round));
    std::sort(order.begin(), order.end());
    for (std::size_t i = 0; i < 50; ++i) CHECK(order[i] == i);
  }
  CHECK(round_order(50, 1) != round_order(50, 2));
}

TEST_CASE("bench: samples are read, and half of them are refused") {
  const auto samples = parse_samples("call 1 2 3\nreap 4\nend\n");
  CHECK(samples.at("call") == std::vector<double>{1, 2, 3});
  CHECK(samples.at("reap") == std::vector<double>{4});
  for (const char* text : {"", "call 1 2", "call 1 x\nend\n", "call\nend\n"})
    CHECK_THROWS_AS(parse_samples(text), std::runtime_error);
}

TEST_CASE("bench: slopes are those of what grows, in ms per GiB") {
  const auto all = slopes(small_result());
  REQUIRE(all.size() == 2);  // fork: call and reap
  CHECK(all[0].series == "fork");
  CHECK(all[0].line.slope * 1e-6 == Approx(10).epsilon(0.01));
}

TEST_CASE("bench: fork is overtaken where the numbers say") {
  const auto all = crossings(small_result());
  const auto fork = std::find_if(all.begin(), all.end(), [](const Crossing& c) {
    return c.a == "fork" && c.b == "posix_spawn" && c.clock == "ready";
  });
  REQUIRE(fork != all.end());
  REQUIRE(fork->at);
  CHECK(*fork->at / kGiB == Approx(0.09).epsilon(0.15));  // 0.1 + 10 x = 1
  const auto never =
      std::find_if(all.begin(), all.end(), [](const Crossing& c) { return c.a == "fork-exec"; });
  REQUIRE(never != all.end());
  CHECK_FALSE(never->at);
  CHECK(never->last == Approx(11.1).epsilon(0.01));
}

TEST_CASE("bench: a parent with threads is never told to fork a worker") {
  Result result = small_result();
  add(result, "fork/threads=100", "ready", kMs);
  for (const Decision& one : decisions(result)) {
    CAPTURE(one.parent, one.purpose);
    if (one.parent.find("threads") == std::string::npos) continue;
    CHECK(one.use != "fork()");
    CHECK(one.because.find("about") != std::string::npos);  // 8 GiB was not measured
  }
  CHECK(decisions(Result()).empty());
}

TEST_CASE("bench: a large parent is estimated by the slope and says so") {
  const auto estimated = estimate(small_result(), "fork", "call", 8 * kGiB, 0);
  REQUIRE(estimated);
  CHECK_FALSE(estimated->measured);
  CHECK(estimated->ns / kMs == Approx(80.1).epsilon(0.01));
  CHECK(estimate(small_result(), "fork", "call", kGiB, 0)->measured);
  CHECK_FALSE(estimate(small_result(), "zygote", "call", kGiB, 0));
}

TEST_CASE("bench: a pool's cost is what a task takes beyond its own time") {
  Result result;
  // 20 tasks of 10 ms over 2 workers: 100 ms at best.
  add(result, "fork/tasks=20/task=10ms/workers=2", "batch", 110 * kMs);
  add(result, "posix_spawn/tasks=20/task=10ms/workers=2", "batch", 200 * kMs);
  const auto rows = pools(result, false);
  REQUIRE(rows.size() == 2);
  CHECK(rows[0].method == "fork");
  CHECK(rows[0].cost / kMs == Approx(1));
  CHECK(rows[0].cells[0].efficiency == Approx(10.0 / 11));
  CHECK(rows[1].cost / kMs == Approx(10));
  REQUIRE(rows[1].within10);
  CHECK(*rows[1].within10 / kMs == Approx(89));
  CHECK(pools(result, true).empty());
}

TEST_CASE("bench: the control is what the same case measured twice differs by") {
  Result result;
  add(result, "fork", "reap", kMs);
  add(result, "fork/control=1", "reap", 1.1 * kMs);
  REQUIRE(controls(result).size() == 1);
  CHECK(noise(result) == Approx(0.1).epsilon(0.01));
  CHECK(noise(Result()) == 0);
}

TEST_CASE("bench: a comparison with itself finds nothing, and a slower machine is found") {
  const Result before = small_result();
  const Compared same = compare_results(before, before);
  CHECK_FALSE(same.cases.empty());
  for (const ComparedCase& one : same.cases) CHECK_FALSE(one.changed);

  Result after = before;
  for (CaseResult& one : after.cases)
    for (auto& [clock, summary] : one.clocks)
      if (one.spec.method == "fork") summary = around(summary.median * 1.5);
  const Compared slower = compare_results(before, after);
  for (const ComparedCase& one : slower.cases)
    CHECK(one.changed == (parse_spec(one.name).method == "fork"));
  CHECK(compared_text(slower).find("+50.0 %") != std::string::npos);
}

TEST_CASE("bench: a change within the A/A controls' noise is none") {
  Result before = small_result(), after = before;
  add(before, "fork/control=1", "reap", 2 * kMs);  // ten times what the first says
  for (CaseResult& one : after.cases)
    for (auto& [clock, summary] : one.clocks) summary = around(summary.median * 1.5);
  for (const ComparedCase& one : compare_results(before, after).cases) CHECK_FALSE(one.changed);
}

TEST_CASE("bench: a method's small shift in one direction is seen in all its pairs") {
  Result before, after;
  for (int i = 1; i <= 8; ++i) {
    const std::string name = "fork/threads=" + std::to_string(i);
    add(before, name, "reap", kMs * i);
    add(after, name, "reap", kMs * i * (1.01 + i * 0.001));
  }
  const Compared compared = compare_results(before, after);
  REQUIRE_FALSE(compared.methods.empty());
  CHECK(compared.methods[0].comparison.p == Approx(2.0 / 256));
}

TEST_CASE("bench: files that are no report are refused with a sentence") {
  for (const char* text : {"", "{", "[]", "{}", R"({"schema":"forkscope.report/1","cases":[]})",
                           R"({"schema":"forkscope.bench/1","cases":[]})",
                           R"({"schema":"forkscope.bench/1","cases":[{"name":"spork"}]})"}) {
    CAPTURE(text);
    CHECK_THROWS_AS(parse_result(text), std::runtime_error);
  }
}

TEST_CASE("bench: the JSON of a recorded run is written as it was read") {
  const std::string recorded = golden("bench_result.json");
  CHECK(result_json(parse_result(recorded)) == recorded);
}

TEST_CASE("bench: the page and the text of a recorded run are as recorded") {
  const Result result = parse_result(golden("bench_result.json"));
  CHECK(result_page(result) == golden("bench_page.html"));
  CHECK(result_text(result) == golden("bench_text.txt"));
}

TEST_CASE("bench: the page loads nothing and runs nothing") {
  const std::string page = result_page(parse_result(golden("bench_result.json")));
  for (const char* word : {"<script", "http://", "https://", "url(", "@import", "src=", "onload"})
    CHECK(page.find(word) == std::string::npos);
  for (const char* word : {"prefers-color-scheme:dark", "@media print", "<svg", "role=\"img\""})
    CHECK(page.find(word) != std::string::npos);
}

TEST_CASE("bench: words of others cannot become markup") {
  Result result = parse_result(golden("bench_result.json"));
  result.machine = {{"processor", "<b onload=x> & \"y\""}};
  CHECK(result_page(result).find("<b onload") == std::string::npos);
  CHECK(escaped("<a&\">") == "&lt;a&amp;&quot;&gt;");
}

TEST_CASE("bench: an empty result makes a page and a text") {
  CHECK(result_page(Result()).find("</html>") != std::string::npos);
  CHECK(result_text(Result()).find("rounds") != std::string::npos);
}

TEST_CASE("bench: numbers have three digits and a unit") {
  CHECK(time_text(0.5) == "0.500 ns");
  CHECK(time_text(52'340) == "52.3 µs");
  CHECK(time_text(1.896e6) == "1.90 ms");
  CHECK(time_text(999.6e6) == "1.00 s");
  CHECK(bytes_text(8.0 * kGiB) == "8 GiB");
  CHECK(bytes_text(1.5 * 1024) == "1.50 KiB");
  CHECK(change_text(1.042) == "+4.2 %");
  CHECK(change_text(3) == "x 3.00");
  CHECK(p_text(0.0001) == "< 0.001");
  CHECK(right_aligned("5 µs", 6) == "  5 µs");
}
