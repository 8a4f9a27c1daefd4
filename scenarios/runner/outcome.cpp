#include "scenarios/runner/outcome.hpp"

#include <fmt/format.h>
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>

#include "scenarios/support/program.hpp"

namespace forkscope::scenario {
namespace {

std::string end_of(const Result& result) {
  if (result.timed_out) return "no end";
  if (WIFSIGNALED(result.wait_status))
    return fmt::format("signal {}", WTERMSIG(result.wait_status));
  switch (const int status = WEXITSTATUS(result.wait_status)) {
    case kAllDone:
      return end_text(End::kCompletes);
    case kWorkerHung:
      return end_text(End::kDeadlock);
    case kWorkerEndedEarly:
      return "worker died";
    default:
      return fmt::format("exit {}", status);
  }
}

/// The values of the lines `timing NAME_us=N`, in milliseconds.
std::vector<double> timings(const std::string& output, const std::string& name) {
  const std::string prefix = "timing " + name + "_us=";
  std::vector<double> values;
  std::istringstream lines(output);
  for (std::string line; std::getline(lines, line);)
    if (line.starts_with(prefix)) values.push_back(std::stod(line.substr(prefix.size())) / 1000);
  return values;
}

std::vector<FoundKind> findings_of(const std::string& report) {
  try {
    const auto document = nlohmann::json::parse(report);
    if (document.at("schema") != "forkscope.report/1")
      throw std::runtime_error("the report has not the schema forkscope.report/1");
    std::vector<FoundKind> found;
    for (const auto& finding : document.at("findings")) {
      const std::string severity = finding.at("severity");
      // A held lock that no child touches is no promise of a scenario: it depends on timing.
      if (severity != "deadlock" && severity != "latent") continue;
      found.push_back({{finding.at("kind"), severity}, finding.at("count")});
    }
    return found;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(fmt::format("the report cannot be read: {}", error.what()));
  }
}

std::set<ExpectedFinding> kinds(const std::vector<FoundKind>& found) {
  std::set<ExpectedFinding> result;
  for (const FoundKind& each : found) result.insert(each.finding);
  return result;
}

}  // namespace

Outcome read_outcome(const Result& result, const std::optional<std::string>& report) {
  Outcome outcome;
  outcome.end = end_of(result);
  outcome.ready_ms = timings(result.output, "ready");
  outcome.done_ms = timings(result.output, "done");
  if (report) outcome.found = findings_of(*report);
  return outcome;
}

std::string difference(const Outcome& outcome, const Method& promised) {
  std::string text;
  if (outcome.end != end_text(promised.end))
    text = fmt::format("end is '{}', should be '{}'", outcome.end, end_text(promised.end));
  if (!outcome.found) return text;
  const std::set<ExpectedFinding> expected(promised.findings.begin(), promised.findings.end());
  if (const auto found = kinds(*outcome.found); found != expected)
    text += fmt::format("{}findings are '{}', should be '{}'", text.empty() ? "" : "; ",
                        findings_text(found), findings_text(expected));
  return text;
}

std::string end_text(End end) {
  switch (end) {
    case End::kCompletes:
      return "completes";
    case End::kDeadlock:
      return "deadlock";
  }
  return {};
}

std::string findings_text(const std::set<ExpectedFinding>& findings) {
  if (findings.empty()) return "none";
  std::string text;
  for (const auto& [kind, severity] : findings)
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ", severity == "latent" ? "latent " : "",
                        kind);
  return text;
}

bool Case::agrees() const {
  return !outcomes.empty() &&
         std::all_of(outcomes.begin(), outcomes.end(), [this](const Outcome& outcome) {
           return difference(outcome, promised).empty();
         });
}

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace forkscope::scenario
