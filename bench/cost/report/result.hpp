// What one run of `forkscope bench` found: the data of both reports. Plain values.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bench/cost/report/statistics.hpp"
#include "bench/cost/spec.hpp"

namespace forkscope::cost {

/// A case that was measured. Times are nanoseconds; clocks that end in "faults" are counts.
///   call    from the call until the parent may go on
///   first   ... until the first instruction of the child
///   main    ... until main() of the program that the child executes
///   ready   ... until the child has read its first task
///   reap    ... until the parent has waited for its end
///   stall   the longest round of another thread of the parent meanwhile
///   child_write, parent_write, child_faults, parent_faults   of writing to copied pages
///   batch   all tasks of a pool
struct CaseResult {
  Spec spec;
  std::map<std::string, Summary> clocks;
};

/// A case that was not measured, and why: a sentence without a full stop.
struct Skipped {
  std::string name, why;
};

/// What forkscope itself costs: a row of forkscope-bench, or of another tool on the same loop.
struct PriceRow {
  std::string title;
  double bare = 0, with = 0;                         ///< nanoseconds, or bytes
  double ratio = 0, low = 0, high = 0, control = 0;  ///< quartiles; control: bare against bare
  std::string unit = "ns";
  std::string command;
};

struct Price {
  std::vector<PriceRow> rows;      ///< of forkscope-bench: under the library against bare
  std::vector<PriceRow> tools;     ///< the same pair of calls under other tools
  std::vector<PriceRow> programs;  ///< whole programs by `forkscope run`; memory per thread
  std::vector<std::string> remarks;
};

struct Result {
  std::vector<std::pair<std::string, std::string>> machine;  ///< setting, value
  std::string mode;                                          ///< "quick" or "full"
  std::string command;                                       ///< that repeats all of it
  std::string date;                                          ///< UTC, ISO 8601
  std::string python;                                        ///< what was used, empty if none
  double seconds = 0;                                        ///< it took
  int rounds = 0;
  double load_before = 0, load_after = 0;
  std::vector<CaseResult> cases;
  std::vector<Skipped> skipped;
  std::optional<Price> price;
  std::vector<std::string> remarks;
};

/// nullptr if there is none.
const CaseResult* find_case(const Result& result, const std::string& name);
const Summary* find_clock(const CaseResult& one, const std::string& clock);
/// The command that measures only this case.
std::string command_of(const Result& result, const Spec& spec);

}  // namespace forkscope::cost
