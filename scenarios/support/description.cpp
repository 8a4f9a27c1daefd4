#include "scenarios/support/description.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace forkscope::scenario {
namespace {
constexpr const char* kSchema = "forkscope.scenario/1";
}

const Method* find_method(const Description& description, const std::string& name) {
  const auto found = std::find_if(description.methods.begin(), description.methods.end(),
                                  [&](const Method& method) { return method.name == name; });
  return found == description.methods.end() ? nullptr : &*found;
}

std::string to_json(const Description& description) {
  using nlohmann::ordered_json;
  ordered_json methods = ordered_json::array();
  for (const Method& method : description.methods) {
    ordered_json findings = ordered_json::array();
    for (const ExpectedFinding& finding : method.findings)
      findings.push_back({{"kind", finding.kind}, {"severity", finding.severity}});
    methods.push_back({{"name", method.name},
                       {"end", method.end == End::kDeadlock ? "deadlock" : "completes"},
                       {"findings", findings},
                       {"note", method.note}});
  }
  const ordered_json document = {{"schema", kSchema},
                                 {"name", description.name},
                                 {"title", description.title},
                                 {"cause", description.cause},
                                 {"mechanism", description.mechanism},
                                 {"cure", description.cure},
                                 {"source", description.source},
                                 {"methods", methods}};
  return document.dump(2) + "\n";
}

Description parse_description(const std::string& json) {
  try {
    const auto document = nlohmann::json::parse(json);
    if (document.at("schema") != kSchema)
      throw std::runtime_error("the description has not the schema " + std::string(kSchema));
    Description description{document.at("name"),
                            document.at("title"),
                            document.at("cause"),
                            document.at("mechanism"),
                            document.at("cure"),
                            document.at("source"),
                            {}};
    for (const auto& method : document.at("methods")) {
      const std::string end = method.at("end");
      if (end != "deadlock" && end != "completes")
        throw std::runtime_error("the description has an unknown end '" + end + "'");
      std::vector<ExpectedFinding> findings;
      for (const auto& finding : method.at("findings"))
        findings.push_back({finding.at("kind"), finding.at("severity")});
      description.methods.push_back({method.at("name"),
                                     end == "deadlock" ? End::kDeadlock : End::kCompletes,
                                     std::move(findings), method.at("note")});
    }
    return description;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(std::string("the description cannot be read: ") + error.what());
  }
}

}  // namespace forkscope::scenario
