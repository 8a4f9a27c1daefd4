#include "scenarios/runner/outcome.hpp"

#include <fmt/format.h>
#include <string.h>  // sigabbrev_np
#include <sys/wait.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include <sstream>
#include <stdexcept>
#include <string_view>

#include "scenarios/support/program.hpp"

namespace forkscope::scenario {
namespace {

constexpr const char* kCompletes = "completes";
constexpr const char* kDeadlock = "deadlock";
constexpr const char* kSkippedText = "skipped";

std::string dies(const std::string& death) { return "dies " + death; }

/// What follow() says of a worker that ended before it was done.
std::string end_of_worker(const std::string& output) {
  constexpr std::string_view kSaid = ": worker ended early: ", kSignal = "signal ";
  const std::size_t said = output.find(kSaid);
  if (said == std::string::npos) return "worker died";
  const std::size_t start = said + kSaid.size();
  const std::string death = output.substr(start, output.find('\n', start) - start);
  if (!death.starts_with(kSignal)) return dies(death);
  const char* name = sigabbrev_np(std::stoi(death.substr(kSignal.size())));
  return dies(name ? std::string("SIG") + name : death);
}

std::string end_of(const Result& result) {
  if (result.timed_out) return "no end";
  if (WIFSIGNALED(result.wait_status))
    return fmt::format("signal {}", WTERMSIG(result.wait_status));
  switch (const int status = WEXITSTATUS(result.wait_status)) {
    case kAllDone:
      return kCompletes;
    case kWorkerHung:
      return kDeadlock;
    case kWorkerEndedEarly:
      return end_of_worker(result.output);
    case kSkipped:
      return kSkippedText;
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
    for (const auto& finding : document.at("findings"))
      found.push_back({{finding.at("kind"), finding.at("severity")}, finding.at("count")});
    return found;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(fmt::format("the report cannot be read: {}", error.what()));
  }
}

}  // namespace

std::string how_text(How how) {
  switch (how) {
    case How::kBare:
      return "bare";
    case How::kShim:
      return "shim";
    case How::kLucky:
      return "lucky";
    case How::kAttached:
      return "attached";
  }
  return {};
}

const std::vector<How>& all_ways() {
  static const std::vector<How> all = {How::kBare, How::kShim, How::kLucky, How::kAttached};
  return all;
}

bool applies(How how, const Method& method) {
  switch (how) {
    case How::kBare:
      return true;
    case How::kShim:
      return method.timing_of.empty();
    case How::kLucky:
      return !method.timing_of.empty();
    case How::kAttached:
      return method.end == End::kDeadlock;
  }
  return false;
}

FromOutside read_answer(const std::string& report) {
  try {
    const auto document = nlohmann::json::parse(report);
    if (document.at("schema") != "forkscope.attach/1")
      throw std::runtime_error("the answer has not the schema forkscope.attach/1");
    FromOutside answer{document.at("answer"), {}};
    if (const auto& finding = document.at("finding"); finding.is_object())
      answer.kind = finding.at("kind");
    return answer;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(fmt::format("the answer cannot be read: {}", error.what()));
  }
}

Outcome read_outcome(const Result& result, const std::optional<std::string>& report) {
  Outcome outcome;
  outcome.end = end_of(result);
  outcome.ready_ms = timings(result.output, "ready");
  outcome.done_ms = timings(result.output, "done");
  outcome.seconds = std::chrono::duration<double>(result.took).count();
  if (report && !outcome.skipped()) outcome.found = findings_of(*report);
  return outcome;
}

std::string difference(const Outcome& outcome, const Method& promised, How how) {
  if (outcome.skipped()) return {};
  std::string text;
  if (outcome.end != end_text(promised))
    text = fmt::format("end is '{}', should be '{}'", outcome.end, end_text(promised));
  if (how == How::kAttached && outcome.attached != promised.outside)
    text += fmt::format("{}attach answers '{}', should be '{}'", text.empty() ? "" : "; ",
                        outcome.attached ? answer_text(*outcome.attached) : "nothing",
                        answer_text(promised.outside));
  if (!outcome.found) return text;
  const std::set<ExpectedFinding> expected(promised.findings.begin(), promised.findings.end());
  if (const auto found = judged(outcome, promised); found != expected)
    text += fmt::format("{}findings are '{}', should be '{}'", text.empty() ? "" : "; ",
                        findings_text(found), findings_text(expected));
  return text;
}

std::set<ExpectedFinding> judged(const Outcome& outcome, const Method& promised) {
  std::set<ExpectedFinding> result;
  if (!outcome.found) return result;
  for (const auto& [finding, count] : *outcome.found) {
    // What another thread happened to hold is a hazard that depends on timing: not to be promised.
    // A child that starts threads of its own or prints is told of as a note, and is no mistake
    // here.
    const bool note_of_call = finding.kind == "unsafe-call" && finding.severity == "note";
    const bool counts = finding.severity == "deadlock" || finding.severity == "latent" ||
                        (promised.silent && !note_of_call) ||
                        std::count(promised.findings.begin(), promised.findings.end(), finding) > 0;
    if (counts) result.insert(finding);
  }
  return result;
}

std::string end_text(const Method& method) {
  switch (method.end) {
    case End::kCompletes:
      return kCompletes;
    case End::kDeadlock:
      return kDeadlock;
    case End::kDies:
      return dies(method.death);
  }
  return {};
}

std::string findings_text(const std::set<ExpectedFinding>& findings) {
  if (findings.empty()) return "none";
  std::string text;
  for (const auto& [kind, severity] : findings)
    text += fmt::format("{}{}{}", text.empty() ? "" : ", ",
                        severity == "deadlock" ? "" : severity + " ", kind);
  return text;
}

std::string answer_text(const FromOutside& answer) {
  return answer.answer + (answer.kind.empty() ? "" : " ") + answer.kind;
}

std::string promise_text(const Method& method, How how) {
  if (how == How::kAttached) return answer_text(method.outside);
  if (how == How::kBare) return end_text(method);
  const std::set<ExpectedFinding> findings(method.findings.begin(), method.findings.end());
  return end_text(method) + ": " + (method.silent ? "silent" : findings_text(findings));
}

std::string seen_text(const Outcome& outcome, const Method& promised) {
  if (outcome.attached) return answer_text(*outcome.attached);
  if (!outcome.found) return outcome.end;
  const auto found = judged(outcome, promised);
  const bool silent = promised.silent && found.empty();
  return outcome.end + ": " + (silent ? "silent" : findings_text(found));
}

bool Case::skipped() const {
  return !outcomes.empty() && std::all_of(outcomes.begin(), outcomes.end(),
                                          [](const Outcome& each) { return each.skipped(); });
}

bool Case::agrees() const {
  return !outcomes.empty() &&
         std::all_of(outcomes.begin(), outcomes.end(), [this](const Outcome& outcome) {
           return difference(outcome, promised, how).empty();
         });
}

std::optional<double> median(std::vector<double> values) {
  if (values.empty()) return std::nullopt;
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

}  // namespace forkscope::scenario
