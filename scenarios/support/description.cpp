#include "scenarios/support/description.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <stdexcept>

namespace forkscope::scenario {
namespace {

constexpr const char* kSchema = "forkscope.scenario/1";

const char* name_of(End end) {
  switch (end) {
    case End::kCompletes:
      return "completes";
    case End::kDeadlock:
      return "deadlock";
    case End::kDies:
      return "dies";
  }
  return "";
}

End end_named(const std::string& name) {
  for (const End end : {End::kCompletes, End::kDeadlock, End::kDies})
    if (name == name_of(end)) return end;
  throw std::runtime_error("the description has an unknown end '" + name + "'");
}

/// That its methods agree with each other.
void check(const Description& description) {
  for (const Method& method : description.methods) {
    if ((method.end == End::kDeadlock) == method.outside.answer.empty())
      throw std::runtime_error("the description of " + method.name +
                               " must say what is seen from outside, if it hangs");
    if (!method.timing_of.empty() && !find_method(description, method.timing_of))
      throw std::runtime_error("the description has no method '" + method.timing_of + "'");
  }
}

Method parse_method(const nlohmann::json& from) {
  Method method{from.at("name"), end_named(from.at("end")), {}, from.at("note")};
  for (const auto& finding : from.at("findings"))
    method.findings.push_back({finding.at("kind"), finding.at("severity")});
  method.silent = from.value("silent", false);
  if (from.contains("attached"))
    method.outside = {from.at("attached").at("answer"), from.at("attached").at("kind")};
  method.timing_of = from.value("timing_of", "");
  method.run_options = from.value("run_options", std::vector<std::string>());
  if (method.end == End::kDies) method.death = from.at("death");
  if (method.silent && !method.findings.empty())
    throw std::runtime_error("the description promises findings of a silent method");
  return method;
}

}  // namespace

Method Method::seen_from_outside(std::string answer, std::string kind) && {
  outside = {std::move(answer), std::move(kind)};
  return std::move(*this);
}

Method Method::as_timing_of(std::string method) && {
  timing_of = std::move(method);
  return std::move(*this);
}

Method Method::and_finds(std::string kind, std::string severity) && {
  findings.push_back({std::move(kind), std::move(severity)});
  return std::move(*this);
}

Method Method::with_run_option(std::string option) && {
  run_options.push_back(std::move(option));
  return std::move(*this);
}

Method hangs(std::string name, std::string kind, std::string note) {
  Method method{std::move(name), End::kDeadlock, {{kind, "deadlock"}}, std::move(note)};
  return std::move(method).seen_from_outside("deadlock", std::move(kind));
}

Method waits(std::string name, std::vector<ExpectedFinding> findings, std::string note) {
  Method method{std::move(name), End::kDeadlock, std::move(findings), std::move(note)};
  return std::move(method).seen_from_outside("waiting");
}

Method dies(std::string name, std::string death, std::string kind, std::string note) {
  return {std::move(name), End::kDies, {{std::move(kind), "deadlock"}},
          std::move(note), false,      std::move(death)};
}

Method completes(std::string name, std::vector<ExpectedFinding> findings, std::string note) {
  return {std::move(name), End::kCompletes, std::move(findings), std::move(note)};
}

Method waits_beside_a_lock(std::string name, std::string note) {
  Method method = hangs(std::move(name), "lost-thread", std::move(note));
  method.findings.push_back({"orphaned-lock", "latent"});
  return method;
}

Method lucky(std::string name, std::string note) {
  return completes(std::move(name), {{"orphaned-lock", "latent"}}, std::move(note));
}

Method silent(std::string name, std::string note) {
  return {std::move(name), End::kCompletes, {}, std::move(note), true};
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
                       {"end", name_of(method.end)},
                       {"findings", findings},
                       {"note", method.note},
                       {"silent", method.silent}});
    if (method.end == End::kDies) methods.back()["death"] = method.death;
    if (!method.outside.answer.empty())
      methods.back()["attached"] = {{"answer", method.outside.answer},
                                    {"kind", method.outside.kind}};
    if (!method.timing_of.empty()) methods.back()["timing_of"] = method.timing_of;
    if (!method.run_options.empty()) methods.back()["run_options"] = method.run_options;
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
    for (const auto& method : document.at("methods"))
      description.methods.push_back(parse_method(method));
    check(description);
    return description;
  } catch (const nlohmann::json::exception& error) {
    throw std::runtime_error(std::string("the description cannot be read: ") + error.what());
  }
}

}  // namespace forkscope::scenario
