#include "scenarios/runner/junit.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "scenarios/runner/table.hpp"

namespace forkscope::scenario {
namespace {

/// For text and for attributes in double quotes. Control characters have no place in XML 1.0.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char each : text) switch (each) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += each < ' ' && each >= 0 && each != '\n' ? '?' : each;
    }
  return result;
}

double seconds_of(const Case& runs) {
  double sum = 0;
  for (const Outcome& outcome : runs.outcomes) sum += outcome.seconds;
  return sum;
}

std::string test_of(const Case& runs) {
  std::string inside;
  if (runs.skipped()) {
    inside = "      <skipped/>\n";
  } else if (!runs.agrees()) {
    std::string lines;
    for (std::size_t i = 0; i < runs.outcomes.size(); ++i)
      if (const std::string what = difference(runs.outcomes[i], runs.promised, runs.how);
          !what.empty())
        lines += fmt::format("run {}: {}\n", i + 1, what);
    inside = fmt::format("      <failure message=\"expected {}, seen {}\">{}</failure>\n",
                         escaped(promise_text(runs.promised, runs.how)), escaped(tally_text(runs)),
                         escaped(lines));
  }
  const std::string test = fmt::format(
      "    <testcase classname=\"forkscope.{}\" name=\"{} ({})\" time=\"{:.3f}\"",
      escaped(runs.scenario), escaped(runs.promised.name), how_text(runs.how), seconds_of(runs));
  return inside.empty() ? test + "/>\n" : test + ">\n" + inside + "    </testcase>\n";
}

}  // namespace

std::string cases_junit(const std::vector<Case>& cases) {
  std::string tests;
  double seconds = 0;
  for (const Case& each : cases) {
    tests += test_of(each);
    seconds += seconds_of(each);
  }
  const auto skipped =
      std::count_if(cases.begin(), cases.end(), [](const Case& each) { return each.skipped(); });
  const auto failed = std::count_if(cases.begin(), cases.end(), [](const Case& each) {
    return !each.skipped() && !each.agrees();
  });
  const std::string numbers =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"{:.3f}\"",
                  cases.size(), failed, skipped, seconds);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
      "<testsuites {0}>\n"
      "  <testsuite name=\"forkscope scenario run\" {0}>\n"
      "{1}"
      "  </testsuite>\n"
      "</testsuites>\n",
      numbers, tests);
}

}  // namespace forkscope::scenario
