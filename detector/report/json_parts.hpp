// The parts of the JSON documents. Field order is fixed, absent knowledge is null, addresses are
// hexadecimal strings because JSON numbers lose the low bits of large ones. docs/report-schema.md
// describes every field. Pure functions; thread-safe.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "detector/verdict/report.hpp"

namespace forkscope {

using Json = nlohmann::ordered_json;

Json text_or_null(const std::string& text);
Json hex(std::uint64_t value);
Json number_or_null(const std::optional<int>& value);

Json to_json(const Frame& frame);
Json to_json(const std::optional<Frame>& frame);
Json to_json(const PythonFrame& frame);
Json to_json(const LockInfo& lock);
Json to_json(const ThreadReport& thread);
Json to_json(const HeldReport& held);
Json to_json(const HandlerReport& handler);
Json to_json(const ForkReport& fork);
Json to_json(const Finding& finding);
Json to_json(const RuleUse& rule);
Json to_json(const std::optional<BaselineUse>& baseline);
Json to_json(const InjectedReport& injected);
Json to_json(const NotObservedProgram& program);
Json to_json(const Summary& summary);

template <typename T>
Json array(const std::vector<T>& values) {
  Json json = Json::array();
  for (const T& value : values) json.push_back(to_json(value));
  return json;
}

/// As every document is written: indented by 2. Bytes that are no UTF-8 (paths and thread names may
/// be anything) are replaced rather than refused.
std::string dumped(const Json& json);

}  // namespace forkscope
