#include "bench/cost/report/page.hpp"

#include <algorithm>

#include "bench/cost/report/analysis.hpp"
#include "bench/cost/report/figures.hpp"
#include "bench/cost/report/words.hpp"

namespace forkscope::cost {
namespace {

constexpr const char* kStyle =
    R"(:root{--ground:#fff;--text:#1b1f24;--soft:#57606a;--line:#e4e7eb;--faint:#8c959f;--head:#f4f6f8;--mark:#0060a8}
@media (prefers-color-scheme:dark){:root{--ground:#14171a;--text:#e6e8ea;--soft:#a3abb3;--line:#2b3036;--faint:#6a737c;--head:#1e2226;--mark:#6cb6f5}}
@media print{:root{--ground:#fff;--text:#000;--soft:#333;--line:#ddd;--faint:#777;--head:#f4f6f8;--mark:#0060a8}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:1000px;padding:24px 16px 60px;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,sans-serif}
h1{font-size:26px;margin:0 0 4px}h2{font-size:20px;margin:40px 0 8px;border-bottom:1px solid var(--line);padding-bottom:4px}h3{font-size:16px;margin:20px 0 4px}
p,figcaption{color:var(--soft);margin:4px 0 10px;max-width:80ch}
figcaption{font-size:13px}
.scroll{overflow-x:auto}
table{border-collapse:collapse;font-size:13.5px;margin:6px 0 14px}
th,td{padding:3px 10px 3px 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
th{background:var(--head);font-weight:600;padding-left:4px}td{padding-left:4px}
.n{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
code{font:12px ui-monospace,monospace;color:var(--soft);overflow-wrap:anywhere}
td code{display:inline-block;min-width:250px}td:first-child{min-width:130px}td:last-child{min-width:200px}.n{min-width:0!important}th.n{white-space:normal;min-width:64px!important}
b{color:var(--mark)}
figure{margin:0 0 22px;break-inside:avoid}nav{font-size:14px}nav a{margin-right:14px}a{color:var(--mark)}
.all{font-size:12px}
@media print{body{max-width:none;padding:0;font-size:10pt}.scroll{overflow:visible}svg{min-width:0!important}h2,h3,h2+p{break-after:avoid}tr{break-inside:avoid}td code{min-width:0}.all{font-size:7pt}nav{display:none}}
)";

using Cells = std::vector<std::string>;

/// `numbers` says of each column, by 'n', that it is aligned to the right.
class Table {
 public:
  Table(const std::string& numbers, const Cells& head, const std::string& style = "")
      : numbers_(numbers) {
    text_ = "<div class=\"scroll\"><table class=\"" + style + "\"><thead>" + row(head, "th") +
            "</thead><tbody>\n";
  }
  /// Cells are HTML.
  void add(const Cells& cells) {
    text_ += row(cells, "td");
    ++rows_;
  }
  std::string text() const { return rows_ == 0 ? "" : text_ + "</tbody></table></div>\n"; }

 private:
  std::string row(const Cells& cells, const std::string& tag) const {
    std::string out = "<tr>";
    for (std::size_t i = 0; i < cells.size(); ++i)
      out += "<" + tag + (numbers_[i] == 'n' ? " class=\"n\">" : ">") + cells[i] + "</" + tag + ">";
    return out + "</tr>\n";
  }
  std::string numbers_, text_;
  std::size_t rows_ = 0;
};

std::string code(const std::string& text) { return "<code>" + escaped(text) + "</code>"; }

std::string section(const std::string& id, const std::string& title, const std::string& words,
                    const std::string& body) {
  if (body.empty()) return "";
  return "<h2 id=\"" + id + "\">" + escaped(title) + "</h2>\n" +
         (words.empty() ? "" : "<p>" + escaped(words) + "</p>\n") + body;
}

std::string value_text(double value, const std::string& clock) {
  return clock.ends_with("faults") ? number_text(value) : time_text(value);
}

std::string head(const Result& result) {
  Table table("..", {"setting", "value"});
  for (const auto& [name, value] : result.machine) table.add({escaped(name), escaped(value)});
  table.add({"load", number_text(result.load_before) + " before, " +
                         number_text(result.load_after) + " after (one minute)"});
  if (!result.python.empty()) table.add({"Python", code(result.python)});
  table.add({"measured", escaped(result.date) + ", " + result.mode + ", " +
                             std::to_string(result.rounds) +
                             (result.rounds == 1 ? " round, " : " rounds, ") +
                             number_text(result.seconds) + " s"});
  table.add({"repeat all of it", code(result.command)});
  std::string text = table.text();
  for (const std::string& remark : result.remarks) text += "<p>" + escaped(remark) + "</p>\n";
  return text;
}

std::string decision_table(const Result& result) {
  Table table("....", {"your parent", "you want", "use", "because"});
  for (const Decision& one : decisions(result))
    table.add({escaped(one.parent), escaped(one.purpose), "<b>" + escaped(one.use) + "</b>",
               escaped(one.because)});
  return table.text();
}

std::string median_cell(const CaseResult& one, const std::string& clock) {
  const Summary* summary = find_clock(one, clock);
  if (summary == nullptr) return "";
  return escaped(time_text(summary->median));
}

std::string method_table(const Result& result) {
  Table table(".nnnnn.", {"method, parent of 1 MiB", "parent may go on", "first instruction",
                          "main()", "ready for work", "wait() returned", "repeat"});
  for (const Method& method : methods()) {
    Spec spec;
    spec.method = method.name;
    const CaseResult* one = find_case(result, name_of(spec));
    if (one == nullptr) continue;
    Cells cells{escaped(method.title)};
    for (const char* clock : {"call", "first", "main", "ready", "reap"})
      cells.push_back(median_cell(*one, clock));
    cells.push_back(code(command_of(result, spec)));
    table.add(cells);
  }
  return table.text();
}

std::string slope_table(const Result& result) {
  Table table("..nnnnn", {"what", "clock", "ms per GiB", "standard error", "at 0", "R&sup2;",
                          "largest error"});
  for (const Slope& one : slopes(result))
    table.add({escaped(one.series), escaped(clock_words(one.clock)),
               number_text(one.line.slope * 1e-6), number_text(one.line.slope_error * 1e-6),
               escaped(time_text(one.line.intercept)), number_text(one.line.r_squared),
               number_text(one.line.worst * 100) + " %"});
  return table.text();
}

std::string crossing_table(const Result& result) {
  Table table("...nn", {"", "clock", "they cross at", "ratio at the smallest", "at the largest"});
  for (const Crossing& one : crossings(result))
    table.add({escaped(one.a + " and " + one.b), escaped(clock_words(one.clock)),
               one.at ? "<b>" + escaped(bytes_text(*one.at)) + "</b>"
                      : "nowhere from " + escaped(bytes_text(one.from)) + " to " +
                            escaped(bytes_text(one.to)),
               number_text(one.first), number_text(one.last)});
  return table.text();
}

std::string pool_table(const Result& result, bool python) {
  const auto rows = pools(result, python);
  if (rows.empty()) return "";
  Cells names{"method", "a task costs", "within 10 % of the cheapest from tasks of",
              "within 1 % from"};
  std::string numbers = ".nnn";
  std::vector<double> tasks;
  for (const PoolRow& row : rows)
    for (const PoolRow::Cell& cell : row.cells)
      if (std::find(tasks.begin(), tasks.end(), cell.task) == tasks.end())
        tasks.push_back(cell.task);
  std::sort(tasks.begin(), tasks.end());
  for (const double task : tasks) {
    names.push_back("tasks of " +
                    number_text(task * 1e-6).substr(0, number_text(task * 1e-6).find('.')) + " ms");
    numbers += 'n';
  }
  Table table(numbers, names);
  for (const PoolRow& row : rows) {
    Cells cells{escaped(row.method + (row.reuse ? ", workers started once" : "")),
                escaped(time_text(row.cost)),
                row.within10 ? escaped(time_text(*row.within10)) : "(the cheapest)",
                row.within1 ? escaped(time_text(*row.within1)) : ""};
    for (const double task : tasks) {
      std::string text;
      for (const PoolRow::Cell& cell : row.cells)
        if (cell.task == task)
          text = task == 0 ? escaped(time_text(cell.per_task))
                           : number_text(cell.efficiency * 100) + " %";
      cells.push_back(text);
    }
    table.add(cells);
  }
  return table.text();
}

std::string control_table(const Result& result) {
  Table table("..nn.", {"case", "clock", "second / first", "p", "test"});
  for (const Control& one : controls(result))
    table.add({code(one.name), escaped(clock_words(one.clock)), number_text(one.comparison.ratio),
               escaped(p_text(one.comparison.p)), one.comparison.test});
  return table.text();
}

std::string price_rows(const char* first, const std::vector<PriceRow>& rows) {
  Table table(".nnnnn.", {first, "bare", "with it", "ratio", "quartiles", "bare / bare", "repeat"});
  for (const PriceRow& row : rows) {
    const auto value = [&](double v) {
      return escaped(row.unit == "ns" ? time_text(v) : bytes_text(v));
    };
    table.add({escaped(row.title), value(row.bare), value(row.with), number_text(row.ratio),
               number_text(row.low) + " - " + number_text(row.high), number_text(row.control),
               code(row.command)});
  }
  return table.text();
}

std::string price_part(const Result& result) {
  if (!result.price) return "";
  std::string text = price_rows("under the preload library", result.price->rows) +
                     price_rows("mutex lock + unlock, a second thread alive", result.price->tools) +
                     price_rows("whole programs by forkscope run", result.price->programs);
  for (const std::string& remark : result.price->remarks)
    text += "<p>" + escaped(remark) + "</p>\n";
  return text;
}

std::string all_numbers(const Result& result) {
  Table table(".nnnnnnnn.",
              {"clock", "median", "95 % interval", "p95", "p99", "p99.9", "least", "most", "n",
               "case, and the command that repeats it"},
              "all");
  for (const CaseResult& one : result.cases)
    for (const auto& [clock, s] : one.clocks) {
      const auto value = [&, name = clock](double v) { return escaped(value_text(v, name)); };
      table.add({escaped(clock), value(s.median),
                 value(s.interval.low) + " - " + value(s.interval.high), value(s.p95), value(s.p99),
                 value(s.p999), value(s.min), value(s.max), std::to_string(s.count),
                 code(command_of(result, one.spec))});
    }
  return table.text();
}

std::string skipped_table(const Result& result) {
  Table table("..", {"case", "why"});
  for (const Skipped& one : result.skipped) table.add({code(one.name), escaped(one.why)});
  return table.text();
}

std::string plots(const Result& result, const std::vector<std::string>& prefixes) {
  std::string text;
  for (const Plot& plot : figures(result))
    for (const std::string& prefix : prefixes)
      if (plot.id.starts_with(prefix)) {
        text += draw(plot);
        break;
      }
  return text;
}

}  // namespace

std::string result_page(const Result& result) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"
      "<title>What a process costs here</title>\n<style>" +
      std::string(kStyle) + plot_style() +
      "</style></head><body>\n<h1>What a process costs here</h1>\n";
  out +=
      "<p>Measured by <code>forkscope bench</code>. Medians over iterations; vertical bars and "
      "intervals are 95 %, the wider of order statistics over iterations and Student's t over "
      "rounds, one process each.</p>\n";
  out +=
      "<nav><a href=\"#use\">What to use</a><a href=\"#size\">By size</a><a href=\"#parent\">By "
      "the parent</a><a href=\"#python-part\">Python</a><a href=\"#pool\">Pools</a><a "
      "href=\"#price\">Price of forkscope</a><a href=\"#noise\">Noise</a><a "
      "href=\"#all\">All numbers</a></nav>\n";
  out += section("machine", "Where", "", head(result));
  out += section("use", "What to use",
                 "By the medians below; \"about\" is an estimate from the slopes, beyond what was "
                 "measured or for threads.",
                 decision_table(result));
  out += section("methods", "The methods", "", method_table(result));
  out += section("size", "By the size of the parent",
                 "Both axes are logarithmic: a straight line that rises by the same factor as the "
                 "memory is a cost per GiB.",
                 plots(result, {"size-"}));
  out += section("slope", "What a GiB costs",
                 "Least squares of relative errors over all sizes measured. Methods whose cost "
                 "does not grow, or not certainly (95 %), are not listed.",
                 slope_table(result));
  out += section("cross", "Where they cross", "", crossing_table(result));
  out += section("parent", "By what the parent is like", "",
                 plots(result, {"memory-", "threads", "descriptors", "mappings", "handlers",
                                "concurrency", "environment", "arguments", "stall", "writes"}));
  out += section("python-part", "CPython", "", plots(result, {"python"}));
  out += section("pool", "Pools: where does the start stop to matter?",
                 "Shares are the work's own part of the workers' time; for tasks of 0 ms the time "
                 "of a worker per task.",
                 pool_table(result, false) + pool_table(result, true) + plots(result, {"pools"}));
  out += section("distribution", "Distributions", "", plots(result, {"distribution-"}));
  out += section("price", "The price of forkscope", "", price_part(result));
  out +=
      section("noise", "A/A control: what noise does",
              "The same case measured twice in every round. A difference that is not larger than "
              "these is none. Largest: " +
                  change_text(1 + noise(result)) + ".",
              control_table(result));
  out += section("skipped", "Not measured", "", skipped_table(result));
  out += section("all", "All numbers", "", all_numbers(result));
  return out + "</body></html>\n";
}

}  // namespace forkscope::cost
