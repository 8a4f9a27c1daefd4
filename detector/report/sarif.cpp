#include "detector/report/sarif.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "detector/report/code_places.hpp"
#include "detector/report/json_parts.hpp"
#include "detector/verdict/fingerprint.hpp"
#include "detector/verdict/foreign_text.hpp"

namespace forkscope {
namespace {

constexpr std::size_t kMostOfText = 1024;  // characters that GitHub keeps of a message
constexpr std::size_t kMostSteps = 50;     // of a stack
constexpr std::size_t kRoomForRules = 100'000;
constexpr const char* kSchema =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

bool probable(const Finding& finding) {
  return finding.certainty == "probable" && finding.outcome != "came back";
}

const char* level_of(const Finding& finding) {
  if (finding.severity == "deadlock") return "error";
  return finding.severity == "latent" || probable(finding) ? "warning" : "note";
}

Json message(const std::string& text) { return Json{{"text", bounded(text, kMostOfText)}}; }

/// RFC 3986: what may stand in a path stays, the rest is escaped.
std::string uri_of(const std::string& path) {
  std::string uri;
  for (const char each : path) {
    const bool plain = (each >= 'a' && each <= 'z') || (each >= 'A' && each <= 'Z') ||
                       (each >= '0' && each <= '9') || std::string_view("-._~/+@").find(each) !=
                                                           std::string_view::npos;
    uri += plain ? std::string(1, each) : fmt::format("%{:02X}", static_cast<unsigned char>(each));
  }
  return uri;
}

/// The whole line: columns are not known, and GitHub wants all four fields.
Json physical(const CodePlace& place) {
  return Json{{"artifactLocation", {{"uri", uri_of(place.path)}}},
              {"region",
               {{"startLine", place.line},
                {"startColumn", 1},
                {"endLine", place.line + 1},
                {"endColumn", 1}}}};
}

/// Outermost first, as a program runs. Code outside the repository stands at the line of the
/// repository that called it: every step needs a place there.
Json thread_flow(const char* id, const std::string& words, std::vector<CodeStep> steps,
                 const CodePlace& otherwise) {
  steps.resize(std::min(steps.size(), kMostSteps));
  std::reverse(steps.begin(), steps.end());
  const auto own = std::find_if(steps.begin(), steps.end(),
                                [](const CodeStep& step) { return step.place.has_value(); });
  CodePlace place = own == steps.end() ? otherwise : *own->place;
  Json locations = Json::array();
  for (const CodeStep& step : steps) {
    place = step.place.value_or(place);
    locations.push_back(
        {{"location", {{"physicalLocation", physical(place)}, {"message", message(step.words)}}}});
  }
  return Json{{"id", id}, {"message", message(words)}, {"locations", std::move(locations)}};
}

/// Holder, fork and child; those that are known.
Json code_flow(const std::string& root, const Finding& finding, const CodePlace& place) {
  Json flows = Json::array();
  const auto add = [&](const char* id, const std::string& words, const std::vector<Frame>& stack,
                       const std::vector<PythonFrame>& python) {
    auto steps = steps_of(root, stack, python);
    if (!steps.empty()) flows.push_back(thread_flow(id, words, std::move(steps), place));
  };
  const Finding::Holder& holder = finding.holder;
  add("holder", "the other thread" + (holder.name.empty() ? "" : " (" + holder.name + ")"),
      holder.acquired, holder.python);
  add("fork", "the fork", finding.fork_stack, finding.fork_python);
  add("child", "the child", finding.waiter.stack, finding.waiter.python);
  return flows;
}

std::string text_of(const Finding& finding) {
  const std::string who = finding.program.empty() ? "A forked child" : finding.program;
  const std::string cure = finding.cure.empty() ? "" : " " + finding.cure;
  return fmt::format("{}: {}.{}", who, finding.verdict, cure);
}

/// What the same finding is known by in the next run. Unidentified ones equal nothing.
Json fingerprints_of(const Finding& finding) {
  if (!is_fingerprint(finding.fingerprint)) return Json::object();
  const std::string hash = finding.fingerprint.substr(kFingerprintPrefix.size());
  return Json{{"forkscope/v1", hash}, {"primaryLocationLineHash", hash + ":1"}};
}

Json properties_of(const Finding& finding) {
  return Json{{"severity", finding.severity}, {"certainty", finding.certainty},
              {"evidence", text_or_null(finding.evidence)},
              {"lock", text_or_null(finding.lock.symbol)}, {"fork", finding.fork},
              {"count", finding.count}, {"known", finding.known}};
}

Json result_of(const Finding& finding, std::size_t rule, const SarifOptions& options) {
  const CodePlace place =
      place_of(options.root, finding).value_or(CodePlace{options.fallback, 1});
  Json result{{"ruleId", finding.kind},
              {"ruleIndex", rule},
              {"level", level_of(finding)},
              {"message", message(text_of(finding))},
              {"locations", Json::array({{{"physicalLocation", physical(place)}}})},
              {"partialFingerprints", fingerprints_of(finding)},
              {"properties", properties_of(finding)}};
  Json flows = code_flow(options.root, finding, place);
  if (!flows.empty())
    result["codeFlows"] = Json::array({{{"threadFlows", std::move(flows)}}});
  return result;
}

Json rule_of(const std::string& kind) {
  std::string words = kind;
  std::replace(words.begin(), words.end(), '-', ' ');
  return Json{{"id", kind},
              {"shortDescription", {{"text", "Fork safety: " + words}}},
              {"help", {{"text", "See docs/findings/" + kind + ".md of forkscope."}}},
              {"properties", {{"tags", {"concurrency", "fork"}}}}};
}

/// Collects results until a limit is reached.
class Results {
 public:
  explicit Results(const SarifOptions& options) : options_(options) {}

  /// False where it does not fit.
  bool add(const Finding& finding) {
    const auto [rule, is_new] = rule_for(finding.kind);
    Json result = result_of(finding, rule, options_);
    std::size_t size = dumped_size(result);
    if (results_.size() >= options_.most_results || bytes_ + size > room()) {
      if (is_new) kinds_.pop_back();
      return false;
    }
    bytes_ += size;
    results_.push_back(std::move(result));
    return true;
  }

  Json take() { return std::move(results_); }
  Json rules() const {
    Json rules = Json::array();
    for (const std::string& kind : kinds_) rules.push_back(rule_of(kind));
    return rules;
  }

 private:
  std::pair<std::size_t, bool> rule_for(const std::string& kind) {
    const auto found = std::find(kinds_.begin(), kinds_.end(), kind);
    const auto index = static_cast<std::size_t>(found - kinds_.begin());
    if (found != kinds_.end()) return {index, false};
    kinds_.push_back(kind);
    return {index, true};
  }

  std::size_t room() const {
    return options_.most_bytes > kRoomForRules ? options_.most_bytes - kRoomForRules : 0;
  }

  static std::size_t dumped_size(const Json& json) {
    return json.dump(-1, ' ', false, Json::error_handler_t::replace).size() + 1;
  }

  const SarifOptions& options_;
  Json results_ = Json::array();
  std::vector<std::string> kinds_;
  std::size_t bytes_ = 0;
};

Json invocation(std::size_t left_out) {
  Json invocation{{"executionSuccessful", true}};
  if (left_out > 0)
    invocation["toolExecutionNotifications"] = Json::array(
        {{{"level", "warning"},
          {"message",
           message(fmt::format("{} findings, the least grave, did not fit", left_out))}}});
  return invocation;
}

}  // namespace

std::string findings_sarif(const std::vector<const Finding*>& findings,
                           const SarifOptions& options) {
  Results results(options);
  std::size_t fitted = 0;
  while (fitted < findings.size() && results.add(*findings[fitted])) ++fitted;
  Json driver{{"name", "forkscope"}, {"version", FORKSCOPE_VERSION}, {"rules", results.rules()}};
  Json run{{"tool", {{"driver", std::move(driver)}}},
           {"invocations", Json::array({invocation(findings.size() - fitted)})},
           {"columnKind", "unicodeCodePoints"},
           {"results", results.take()}};
  const Json document{
      {"$schema", kSchema}, {"version", "2.1.0"}, {"runs", Json::array({std::move(run)})}};
  // Not indented: thread flows are deep, and 10 MB are soon full of margins.
  return document.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace forkscope
