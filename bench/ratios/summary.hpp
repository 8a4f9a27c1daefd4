// From samples to the table: medians, verdicts, Markdown and JSON.
//
// Pure functions, no I/O, no clock: unit-tested by themselves (summary_test.cpp).
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "bench/ratios/cases.hpp"
#include "bench/ratios/machine.hpp"

namespace forkscope::bench {

/// One round of a case: the same benchmark, once each, one after the other. Seconds.
struct Sample {
  double bare = 0;
  double preloaded = 0;
  double control = 0;  ///< bare a second time
};

/// The quartiles of a distribution; between neighbours it is linear.
struct Quartiles {
  double low = 0, median = 0, high = 0;
};
Quartiles quartiles(std::vector<double> values);  ///< values must not be empty

struct Row {
  Metric metric;
  std::string case_name;
  std::vector<Sample> samples;
  Quartiles bare, preloaded;
  Quartiles ratio;    ///< of preloaded / bare within a round
  Quartiles control;  ///< of control / bare within a round: what noise alone looks like
  Quartiles extra, control_extra;  ///< the same as differences, seconds

  /// What is aimed at, and what was measured of it: a ratio, or a difference in seconds.
  std::optional<double> aim() const;
  const Quartiles& measured() const;
  std::optional<double> miss() const;  ///< measured / aim - 1 when the aim is missed
  /// The verdict may be luck: the aim lies between the quartiles of what was measured, or the
  /// control is further from no difference than the measurement from the aim.
  bool within_noise() const;
};
Row summarize(const Case& source, const Metric& metric, std::vector<Sample> samples);

/// What was run and where, for the text around the table.
struct Conditions {
  Machine machine;
  LoadAverage load_before, load_after;
  Pinning pinning;
  std::string build;    ///< CMake build type
  std::string preload;  ///< file name of the preload library
  int pairs = 0;
  bool session = true;               ///< preloaded runs recorded into a session
  std::vector<std::string> remarks;  ///< sentences the reader must know to trust the numbers
};

std::string markdown(const std::vector<Row>& rows, const Conditions& conditions);
nlohmann::json json_document(const std::vector<Row>& rows, const Conditions& conditions);

}  // namespace forkscope::bench
