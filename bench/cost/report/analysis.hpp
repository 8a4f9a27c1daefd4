// From measured cases to what they say: lines of a plot, slopes, crossovers, the break-even of
// pools, the noise, and what to use. Pure functions; thread-safe.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bench/cost/report/result.hpp"

namespace forkscope::cost {

/// A measured point of a plot, with its interval and the case it comes from.
struct Mark {
  double x = 0, y = 0, low = 0, high = 0;
  std::string name;  ///< of the case
};
struct Series {
  std::string name;
  std::vector<Mark> marks;  ///< ascending in x
};

/// The cases that differ from the usual parent by method and `axis` only, a series per method: the
/// axis is a number of Spec by its member. `only` names the methods; empty: all.
std::vector<Series> series_by_method(const Result& result, std::uint64_t Spec::*axis,
                                     const std::string& clock,
                                     const std::vector<std::string>& only = {});
/// fork against resident memory, a series per kind of memory.
std::vector<Series> series_by_memory(const Result& result, const std::string& clock);
/// Python's methods against resident memory, a series per method and imports.
std::vector<Series> series_of_python(const Result& result, const std::string& clock);
/// Another thread's stall against resident memory.
std::vector<Series> series_of_stall(const Result& result);
/// Writing to the pages of a forked parent: per cent of pages, for each writer and order.
std::vector<Series> series_of_writes(const Result& result);
/// Pools: milliseconds per task, worker and task; x is the task's own.
std::vector<Series> series_of_pools(const Result& result);

struct Slope {
  std::string series, clock;
  Line line;  ///< nanoseconds by GiB
  std::size_t points = 0;
  double largest = 0;  ///< bytes, of the largest parent
};
/// What a GiB of parent costs, where it costs something: by method and by kind of memory.
std::vector<Slope> slopes(const Result& result);

struct Crossing {
  std::string a, b, clock;
  std::optional<double> at;    ///< bytes of the parent
  double first = 0, last = 0;  ///< a / b at the smallest and the largest common size
  double from = 0, to = 0;     ///< those sizes
};
std::vector<Crossing> crossings(const Result& result);

struct Control {
  std::string name, clock;
  Comparison comparison;
};
/// Each case that was measured twice, and how much the two differ: what noise does.
std::vector<Control> controls(const Result& result);
/// The largest of their relative differences; 0 without any.
double noise(const Result& result);

struct PoolRow {
  std::string method;
  bool reuse = false;
  double cost = 0;  ///< nanoseconds of a worker that a task takes beyond its own
  struct Cell {
    double task = 0;      ///< nanoseconds
    double per_task = 0;  ///< nanoseconds of a worker, own time and all
    double efficiency = 0;
    std::string name;
  };
  std::vector<Cell> cells;
  std::optional<double> within10, within1;  ///< of the cheapest, from tasks of so many ns on
};
/// Native methods are compared with native ones, Python's with Python's; cheapest first.
std::vector<PoolRow> pools(const Result& result, bool python);

struct Decision {
  std::string parent, purpose, use, because;
};
std::vector<Decision> decisions(const Result& result);

/// What `method` costs with a parent of this size and with further threads: measured, or by the
/// slope beyond what was measured.
struct Estimate {
  double ns = 0;
  Interval interval;  ///< of a measured one
  bool measured = false;
};
std::optional<Estimate> estimate(const Result& result, const std::string& method,
                                 const std::string& clock, std::uint64_t resident,
                                 std::uint64_t threads);

}  // namespace forkscope::cost
