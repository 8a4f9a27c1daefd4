// Plots as SVG for an HTML page: axes with units, lines with intervals, names at their ends.
//
// Colours, dashes and dark mode are the page's style sheet (plot_style()); lines differ by marker
// and dash as well, so that they can be told apart on paper. Pure functions; thread-safe.
#pragma once

#include <string>
#include <vector>

#include "bench/cost/report/analysis.hpp"

namespace forkscope::cost {

enum class Unit { kTime, kBytes, kCount, kShare, kPercent, kMilliseconds };

struct Axis {
  std::string label;  ///< without the unit, which is in the numbers
  Unit unit = Unit::kTime;
  bool logarithmic = true;  ///< 0 has a place of its own at the left
};

struct Plot {
  std::string id, title, note;  ///< note: one sentence under it
  std::string command;          ///< that measures these cases again
  Axis x, y;
  std::vector<Series> series;
  bool steps = false;  ///< a distribution: no markers
};

/// A <figure>; empty without a point.
std::string draw(const Plot& plot);

std::string plot_style();

/// With & < > " as entities.
std::string escaped(const std::string& text);

}  // namespace forkscope::cost
