#include "bench/cost/drive/price.hpp"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <sstream>

#include "bench/cost/report/result_json.hpp"
#include "bench/cost/report/statistics.hpp"

namespace forkscope::cost {
namespace {

namespace fs = std::filesystem;

std::string in_path(const std::string& name) {
  const char* path = std::getenv("PATH");
  std::istringstream folders(path == nullptr ? "/usr/bin:/bin" : path);
  for (std::string folder; std::getline(folders, folder, ':');)
    if (access((folder + "/" + name).c_str(), X_OK) == 0) return folder + "/" + name;
  return "";
}

/// The first comparison of a part may be late; one that hangs over the end is given up.
double patience(const PriceOptions& options) { return std::max(2.0, options.seconds_left() + 1); }

double run_number(const PriceOptions& options, const std::vector<std::string>& arguments) {
  const bench::Finished finished = run_program(arguments, patience(options), true);
  char* end = nullptr;
  const double value = std::strtod(finished.output.c_str(), &end);
  if (finished.status != 0 || end == finished.output.c_str())
    throw std::runtime_error(fs::path(arguments.front()).filename().string() + " failed");
  return value;
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return quantile(values, 0.5);
}

using Measure = std::function<double(const std::vector<std::string>&)>;

/// Two ways of running the same, by turns; fewer rounds when time runs out.
PriceRow compare(const PriceOptions& options, const std::string& title,
                 const std::vector<std::string>& bare, const std::vector<std::string>& with,
                 int rounds, const Measure& measure) {
  std::vector<double> a, b, control, ratios, controls;
  const double before = options.seconds_left();
  if (before <= 0) throw std::runtime_error("no time was left");
  for (int i = 0; i < rounds; ++i) {
    const double left = options.seconds_left();
    if (i > 0 && left < (before - left) / i) break;  // another one will not fit
    a.push_back(measure(bare));
    b.push_back(measure(with));
    control.push_back(measure(bare));
    ratios.push_back(b.back() / a.back());
    controls.push_back(control.back() / a.back());
  }
  std::sort(ratios.begin(), ratios.end());
  PriceRow row;
  row.title = title;
  row.bare = median(a);
  row.with = median(b);
  row.ratio = quantile(ratios, 0.5);
  row.low = quantile(ratios, 0.25);
  row.high = quantile(ratios, 0.75);
  row.control = median(controls);
  return row;
}

std::vector<std::string> observed(const PriceOptions& options, std::vector<std::string> program) {
  std::vector<std::string> all{options.command, "run", "--quiet", "--"};
  all.insert(all.end(), program.begin(), program.end());
  return all;
}

void measure_library(const PriceOptions& options, Price& price) {
  if (options.ratios.empty() || access(options.ratios.c_str(), X_OK) != 0) {
    price.remarks.push_back("forkscope-bench is not there: the library's ratios are missing.");
    return;
  }
  const int json = memfd_create("ratios", 0);
  std::vector<std::string> arguments{options.ratios, "--quick", "--json",
                                     "/dev/fd/" + std::to_string(json)};
  std::string repeat = "forkscope-bench --quick";
  if (!options.full) {
    const std::string filter = "^pair-idle$|^wrapper-rwlock_read$|^fork-(1|8-threads|256)$";
    for (const std::string& word :
         {std::string("--pairs"), std::string("2"), std::string("--filter"), filter})
      arguments.push_back(word);
    repeat += " --pairs 2 --filter '" + filter + "'";
  } else {
    arguments.insert(arguments.end(), {"--pairs", "6"});
    repeat += " --pairs 6";
  }
  bench::Finished finished;
  try {
    finished = run_program(arguments, patience(options), false);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception&) {
    price.remarks.push_back("No time was left for forkscope-bench; run it alone.");
    return;
  }
  std::string text;
  char buffer[65536];
  for (ssize_t got, at = 0; (got = pread(json, buffer, sizeof buffer, at)) > 0; at += got)
    text.append(buffer, std::size_t(got));
  close(json);
  if (finished.status != 0) {
    price.remarks.push_back("forkscope-bench failed: " + finished.errors);
    return;
  }
  price.rows = rows_of_ratios(text, repeat);
}

void measure_tools(const PriceOptions& options, Price& price) {
  const std::string pair = options.programs.folder + "/cost_pair";
  struct Tool {
    std::string title;
    std::vector<std::string> command;
    const char* pairs;
  };
  std::vector<Tool> tools{
      {"forkscope", observed(options, {pair}), "5000000"},
      {"gcc ThreadSanitizer (compiled in)",
       {options.programs.folder + "/cost_pair_tsan"},
       "500000"},
  };
  const std::string valgrind = in_path("valgrind");
  for (const char* tool : {"drd", "helgrind"}) {
    if (valgrind.empty())
      price.remarks.push_back(std::string("valgrind --tool=") + tool + " is not installed.");
    else
      tools.push_back({std::string("valgrind --tool=") + tool,
                       {valgrind, std::string("--tool=") + tool, "--error-exitcode=0", pair},
                       "20000"});
  }
  const Measure number = [&](const auto& arguments) { return run_number(options, arguments); };
  for (Tool& tool : tools) {
    if (access(tool.command.front().c_str(), X_OK) != 0) {
      price.remarks.push_back(tool.title + " is not there.");
      continue;
    }
    tool.command.push_back(tool.pairs);
    try {
      PriceRow row = compare(options, tool.title, {pair, "5000000"}, tool.command,
                             options.full ? 5 : 2, number);
      for (const std::string& word : tool.command)
        row.command += (row.command.empty() ? "" : " ") + word;
      price.tools.push_back(row);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      price.remarks.push_back(tool.title + ": " + error.what() + ".");
    }
  }
}

void measure_programs(const PriceOptions& options, Price& price) {
  struct Program {
    std::string title;
    std::vector<std::string> command;
    std::string shown;
  };
  std::vector<Program> programs{
      {"sh starts /bin/true 200 times",
       {"/bin/sh", "-c", "i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done"},
       "sh -c 'i=0; while [ $i -lt 200 ]; do /bin/true; i=$((i+1)); done'"}};
  if (const std::string sort = in_path("sort"); !sort.empty())
    programs.push_back({"sort, two threads, 400,000 lines",
                        {"/bin/sh", "-c", "seq 400000 -1 1 | sort -n --parallel=2 | tail -n 1"},
                        "sh -c 'seq 400000 -1 1 | sort -n --parallel=2 | tail -n 1'"});
  if (!options.programs.python.empty()) {
    const std::string code =
        "from concurrent.futures import ThreadPoolExecutor as T; "
        "list(T(4).map(abs, range(20000)))";
    programs.push_back({"python3, 20,000 tasks in a pool of four threads",
                        {options.programs.python, "-c", code},
                        options.programs.python + " -c '" + code + "'"});
  }
  const Measure number = [&](const auto& arguments) { return run_number(options, arguments); };
  const Measure seconds = [&](const auto& arguments) {
    const bench::Finished finished = run_program(arguments, patience(options), false);
    if (finished.status != 0) throw std::runtime_error(arguments.front() + " failed");
    return finished.seconds * 1e9;
  };
  for (const Program& program : programs) {
    try {
      PriceRow row = compare(options, program.title, program.command,
                             observed(options, program.command), options.full ? 7 : 2, seconds);
      row.command = "forkscope run --quiet -- " + program.shown;
      price.programs.push_back(row);
    } catch (const Interrupted&) {
      throw;
    } catch (const std::exception& error) {
      price.remarks.push_back(program.title + ": " + error.what() + ".");
    }
  }
  const std::string pair = options.programs.folder + "/cost_pair";
  try {
    PriceRow row =
        compare(options, "memory per thread, of 200 that took a lock", {pair, "threads", "200"},
                observed(options, {pair, "threads", "200"}), options.full ? 3 : 1, number);
    row.unit = "bytes";
    row.command = "forkscope run --quiet -- cost_pair threads 200";
    price.programs.push_back(row);
  } catch (const Interrupted&) {
    throw;
  } catch (const std::exception& error) {
    price.remarks.push_back(std::string("Memory per thread: ") + error.what() + ".");
  }
}

struct Part {
  const char* name;
  double quick, full;  ///< seconds
  void (*measure)(const PriceOptions&, Price&);
};
constexpr Part kParts[] = {{"price/library", 5, 60, measure_library},
                           {"price/tools", 5, 25, measure_tools},
                           {"price/programs", 5, 30, measure_programs}};

}  // namespace

const std::vector<std::string>& price_parts() {
  static const std::vector<std::string> names{kParts[0].name, kParts[1].name, kParts[2].name};
  return names;
}

double price_seconds(const std::vector<std::string>& parts, bool full) {
  double seconds = 0;
  for (const Part& part : kParts)
    if (std::find(parts.begin(), parts.end(), part.name) != parts.end())
      seconds += full ? part.full : part.quick;
  return seconds;
}

Price measure_price(const PriceOptions& options, const std::vector<std::string>& parts,
                    const std::function<void(const std::string&)>& show) {
  Price price;
  for (const Part& part : kParts) {
    if (std::find(parts.begin(), parts.end(), part.name) == parts.end()) continue;
    show(part.name);
    part.measure(options, price);
  }
  return price;
}

}  // namespace forkscope::cost
