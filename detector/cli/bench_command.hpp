// `forkscope bench`: what creating a process costs on this machine, as a report with plots.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace forkscope::cli {

struct BenchOptions {
  bool quick = false, full = false, list = false;
  std::string json;  ///< a file; "-" for standard output in place of text
  std::string html, filter, python, memory, from;
  std::vector<std::string> compare;  ///< two results
};

/// Adds the subcommand; `options` is filled in by parsing and must outlive `app`.
CLI::App* add_bench_command(CLI::App& app, BenchOptions& options);

/// Measures, or reads, and reports. Throws Failure.
int bench(const BenchOptions& options);

}  // namespace forkscope::cli
