#include "detector/report/junit.hpp"

#include <fmt/format.h>

#include <map>
#include <sstream>

#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope {
namespace {

/// For text and for attributes in double quotes. What XML 1.0 has no place for becomes '?', and so
/// does the end of a line.
std::string escaped(const std::string& text) {
  std::string result;
  for (const char each : printable(text)) switch (each) {
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
        result += each;
    }
  return result;
}

std::string escaped_lines(const std::string& text) {
  std::string lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines += escaped(line) + "\n";
  return lines;
}

bool fails(const Finding& finding) {
  if (finding.known) return false;
  return finding.severity == "deadlock" || finding.severity == "latent" ||
         (finding.certainty == "probable" && finding.outcome != "came back");
}

std::string lines_of(const Finding& finding) {
  std::string lines;
  for (const std::string& text : {finding.explanation, finding.cure,
                                  finding.count > 1 ? fmt::format("{} children", finding.count) : "",
                                  "fingerprint " + finding.fingerprint})
    if (!text.empty()) lines += escaped_lines(text);
  return lines;
}

std::string inside_of(const Finding& finding) {
  if (fails(finding))
    return fmt::format("      <failure type=\"{}\" message=\"{}\">{}</failure>\n",
                       escaped(finding.severity), escaped(finding.verdict), lines_of(finding));
  if (finding.known) return "      <skipped message=\"accepted by the baseline\"/>\n";
  return fmt::format("      <system-out>{}: {}\n{}</system-out>\n", escaped(finding.severity),
                     escaped(finding.verdict), lines_of(finding));
}

/// Process and thread ids are not in it: the name is the same in the next run.
std::string name_of(const Finding& finding) {
  const std::string words = site_words(finding);
  return words.empty() ? finding.severity : finding.severity + ": " + words;
}

}  // namespace

std::string findings_junit(const std::vector<const Finding*>& findings, const std::string& suite) {
  std::string tests =
      fmt::format("    <testcase classname=\"forkscope\" name=\"{}\" time=\"0\"/>\n", escaped(suite));
  std::map<std::string, int> used;
  std::size_t failed = 0, skipped = 0;
  for (const Finding* finding : findings) {
    std::string name = escaped(name_of(*finding));
    if (const int times = ++used[finding->kind + "." + name]; times > 1)
      name += fmt::format(" #{}", times);
    tests += fmt::format(
        "    <testcase classname=\"forkscope.{}\" name=\"{}\" time=\"0\">\n{}    </testcase>\n",
        escaped(finding->kind), name, inside_of(*finding));
    failed += fails(*finding) ? 1 : 0;
    skipped += finding->known ? 1 : 0;
  }
  const std::string numbers =
      fmt::format("tests=\"{}\" failures=\"{}\" errors=\"0\" skipped=\"{}\" time=\"0\"",
                  findings.size() + 1, failed, skipped);
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
      "  <testsuite name=\"forkscope {}\" {}>\n{}  </testsuite>\n</testsuites>\n",
      escaped(suite), numbers, tests);
}

}  // namespace forkscope
